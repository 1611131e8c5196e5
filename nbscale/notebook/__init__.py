"""The room of the notebook: what a user sees of a run, and how she stops it.

::

    Event ─> Progress ─> reduce() ─> RunState ─> told() ─> Telling ─> Screen: widget, HTML, terminal
                                                                        │
    Session.cancel(run) <─ stopping <─ control channel, or the widget's comm <─ Stop

Loaded by the entry point of ``nbscale.observers``, so under IPython only.
"""
