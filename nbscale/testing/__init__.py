"""Contracts that every engine and operation must pass; shipped, so that others can inherit them."""
