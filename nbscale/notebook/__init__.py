"""The room of the notebook: what a user sees of a run, and how she stops it.

::

    Event ─> Progress ─> reduce() ─> RunState ─> told() ─> Telling ─> Screen: widget, HTML, terminal
                                                                        │
    Session.cancel(run) <─ stopping <─ control channel, or the widget's comm <─ Stop

Loaded by the entry point of ``nbscale.observers``, so under IPython only. And its magics, loaded by
``%load_ext nbscale``::

    %%parallel for ──> loops ──> the session, a task an item
    %%parallel ──> cells ──> a process: driver ── client <──> serving ──> the session
                    └─<── outputs, and names on their way back: returning
"""
