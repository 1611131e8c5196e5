"""The workloads, a file each. Importing one registers it and imports no peer."""
