"""The magics of ``%load_ext nbscale``."""

from __future__ import annotations

import ast
import contextvars
import keyword
import os
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

from nbscale import config
from nbscale.comm.line import Bulk
from nbscale.errors import RunCancelled, render_for_notebook, trim_traceback
from nbscale.events import Place, cell_number
from nbscale.notebook import loops
from nbscale.notebook.background import Background, Waiting
from nbscale.notebook.cells import CellRun, processes
from nbscale.notebook.names import altered_in, names_of, words_of_magics
from nbscale.notebook.outputs import Show, shower
from nbscale.notebook.shipping import Namespace, Task, pack_names
from nbscale.notebook.source import VALUE, Source, show_lines, split_header, without_first
from nbscale.store.codec import encode

__all__ = ["ParallelMagics", "load_ipython_extension", "unload_ipython_extension"]

_OPTIONS = {"--gather": True, "--background": False}
"""Options of the magic, and whether a word follows."""

_LONGEST = 60
"""Characters of a loop's head that are shown of it."""


class _Cell:
    """The cell that is being run.

    Attributes
    ----------
    source
        Its code.
    line
        Its first line, below the name of the magic.
    frame
        Where it is run, or None.
    number
        Its number.
    """

    def __init__(self, shell: Any, raw: str, line: str, body: str) -> None:
        self.line = line
        self._shell = shell
        self.frame = _frame_of(shell)
        file = "<cell>" if self.frame is None else self.frame.f_code.co_filename
        number = cell_number(file)
        self.number = shell.execution_count if number is None else number
        if not raw.rstrip().endswith(body.rstrip()):
            raw = f"%%parallel {line}\n{body}"
        first = without_first(raw, body)
        self.source = Source(body, file, first, tuple(raw.splitlines()))
        show_lines(self.source)

    @property
    def place(self) -> Place:
        """Where the loop stands."""
        return Place(self.source.file, self.source.first, self.number)

    def own(self, error: BaseException) -> BaseException:
        """An error as the user is to see it: her own lines only."""
        trim_traceback(error, inside=True)
        trace = error.__traceback__
        if trace is None and self.frame is not None:
            trace = TracebackType(None, self.frame, self.frame.f_lasti, self.source.first)
            error.__traceback__ = trace
        if trace is not None:
            render_for_notebook(error, trace)
        return self._as_shown(error) if isinstance(error, SyntaxError) else error

    def _as_shown(self, error: SyntaxError) -> Exception:
        """What shows itself as an error of syntax does.

        One that a magic raises IPython shows with every frame of its own and of ours, whatever the
        error says of how to show it.
        """
        place = traceback.extract_tb(error.__traceback__)
        if error.filename == self.source.file:
            place.clear()  # it was found before anything ran
        lines = self._shell.SyntaxTB.structured_traceback(type(error), error, place)
        shown = type("SyntaxError", (Exception,), {"__module__": "builtins"})(str(error))
        shown._render_traceback_ = lambda: lines
        return shown


def _frame_of(shell: Any) -> FrameType | None:
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - Python has no other way
    while frame is not None:
        if frame.f_globals is shell.user_global_ns and frame.f_code.co_name == "<module>":
            return frame
        frame = frame.f_back
    return None


@magics_class
class ParallelMagics(Magics):
    """``%%parallel``."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self._shell = shell
        self.waiting = Waiting()

    @magic_arguments()
    @argument("loop", nargs="*", metavar="for x in xs", help="Run the cell once for each item.")
    @argument(
        "--gather",
        metavar="NAME",
        help="Collect what each item assigns to this name in a list of this name, in the order of "
        "the items. If the cell does not assign it: the values of the cell's last expression.",
    )
    @argument(
        "--background",
        action="store_true",
        help="Return at once, with what tells its status, waits for it and cancels it. Names are "
        "assigned when they are there; a later cell that names one of them waits for it. An error "
        "is shown under this cell.",
    )
    @cell_magic
    def parallel(self, line: str, body: str) -> Background | None:
        """Run a cell in another process, or the items of a loop at the same time.

        Without a loop the cell runs in a process of its own, as it would in the notebook: what it
        prints and shows appears under it, and the names that it assigns come back when it is over. It
        has copies of what it reads, so what it changes in place stays there, but for
        ``name[...] = ...`` and ``name.part = ...``, which bring the name back.

        With a loop each item is a task. It begins with the names as they were when the cell began, so
        nothing can depend on the order in which items run, and what it assigns stays there, but for
        what is gathered.

        The names that the cell reads are sent there, functions of the notebook included. Lazy
        results, ``submit`` and so on use the processes of the notebook, so there is one pool.

        Examples::

            %%parallel
            model = fit(table)              # model comes back

            %%parallel for name in names --gather sizes
            len(read(name))                 # sizes is a list, in the order of names

            %%parallel --background
            report = long_story(table)      # a later cell that names report waits for it
        """
        header, rest = split_header(line, _OPTIONS)
        options = parse_argstring(self.parallel, rest)
        cell = _Cell(self._shell, self.waiting.raw, line, body)
        if options.loop:
            raise UsageError(f"{' '.join(options.loop)}: a loop looks so: %%parallel for x in xs")
        if options.gather is not None and not _is_name(options.gather):
            raise UsageError(f"--gather needs a name, not {options.gather!r}")
        if options.gather is not None and not header:
            raise UsageError("--gather needs a loop: %%parallel for x in xs --gather ys")
        try:
            if header:
                return self._loop(cell, header, options.gather, background=options.background)
            return self._cell(cell, background=options.background)
        except (Exception, KeyboardInterrupt, RunCancelled) as error:  # noqa: BLE001
            raise cell.own(error)  # noqa: B904 - a bare `raise` would show frames of ours

    def _loop(
        self, cell: _Cell, header: str, gather: str | None, *, background: bool
    ) -> Background | None:
        space = self._shell.user_ns
        head = _head(cell, header)
        target = ast.unparse(head.target)
        cell.source.loop(target)  # what is no code is known before anything runs
        reads = eval(  # noqa: S307 - it is what the user's cell says
            compile(ast.Expression(head.iter), cell.source.file, "eval"), space
        )
        items = list(reads)
        wanted = None if gather is None else _wanted(cell.source, gather)
        names = self._read_by_loop(cell.source, target)
        what = header if len(header) <= _LONGEST else header[: _LONGEST - 1] + "…"
        work = Background(what, (gather,) if gather else ())
        told = self._end_of(work, cell)

        def ended(error: BaseException | None) -> None:
            if background:
                if error is None and gather is not None:
                    space[gather] = values
                told(error)

        values, ticket = loops.begin(
            cell.source, target, items, names, what, cell.place, ended, wanted
        )
        if background:
            work.follow(ticket.cancel, lambda: values if gather else None)
            self.waiting.add(work)
            return work
        try:
            ticket.wait()
        except BaseException as error:
            _without_note(error, what)
            raise
        if gather is not None:
            space[gather] = values
        return None

    def _cell(self, cell: _Cell, *, background: bool) -> Background | None:
        shell, source = self._shell, cell.source
        text = source.below(shell.transform_cell(source.text))
        names = names_of(text, source.file)
        altered, mentioned = altered_in(text), words_of_magics(text)
        read = self._mine({*names.read, *altered, *mentioned})
        spared = {*names.assigned, *mentioned.difference(names.read)}
        packed = pack_names(read, shell.user_ns, spared, _as_bulk)
        task = Task(
            source, cell.number, packed.files, config.get(), str(Path.cwd()), tuple(sys.path),
            dict(os.environ), shell.ast_node_interactivity,
        )  # fmt: skip
        show = shower(shell, elsewhere=background)
        run = CellRun(task, packed.values, shell.user_ns, show, background=background)
        if not background:
            try:
                run.wait()
            except KeyboardInterrupt:
                if isinstance(run.error, KeyboardInterrupt):
                    raise run.error from None  # it says where the cell was
                raise
            finally:
                _tell_left(run, show)
            return None
        work = Background(f"cell {cell.number}", tuple(sorted({*names.assigned, *altered})))
        told = self._end_of(work, cell)

        def over(error: BaseException | None) -> None:
            _tell_left(run, show)
            told(error)

        run.on_finish = over
        work.follow(run.cancel, lambda: run.assigned)
        self.waiting.add(work)
        run.begin()
        return work

    def _end_of(self, work: Background, cell: _Cell) -> Callable[[BaseException | None], None]:
        """What is called, on whatever thread, when work in the background is over."""
        context = contextvars.copy_context()

        def ended(error: BaseException | None) -> None:
            shown = error
            if error is not None:
                _without_note(error, work.what)
                shown = cell.own(error)
            work.finish(error)
            if work.status == "failed":
                threading.Thread(target=context.run, args=(self._tell, shown)).start()

        return ended

    def _tell(self, error: BaseException) -> None:
        """Show below a cell that is over what went wrong in it; on a thread of its own."""
        self._shell.showtraceback((type(error), error, error.__traceback__))

    def _read_by_loop(self, source: Source, target: str) -> Namespace:
        """What the body of a loop reads, packed."""
        body = names_of(source.padded, source.file)
        head = names_of(f"for {target} in (): pass")
        simple = {name for name in head.assigned if name not in head.read}
        read = {*body.read, *head.read} - simple
        return pack_names(self._mine(read), self._shell.user_ns, spared=body.assigned)

    def _mine(self, names: set[str]) -> list[str]:
        """Those of names that the user has made."""
        space, hidden = self._shell.user_ns, self._shell.user_ns_hidden
        return sorted(n for n in names if n in space and space[n] is not hidden.get(n, hidden))


def _as_bulk(value: Any) -> Bulk:
    from nbscale.expr.pickler import dumps  # noqa: PLC0415 - 10 ms, for those who ship something

    return Bulk(encode(value, dumps))


def _tell_left(run: CellRun, show: Show) -> None:
    """Name what a cell has assigned and could not send."""
    for one in run.left:
        show(("stream", "stderr", f"not brought back: {one}\n"))


def _head(cell: _Cell, header: str) -> ast.For:
    """The head of a loop, parsed; errors name its line and column in the cell."""
    line, number = cell.source.lines[cell.source.first - 1], cell.source.first
    shift = max(0, line.find(header))
    try:
        [head] = ast.parse(f"{header}: pass", cell.source.file).body
    except SyntaxError as error:
        where = (cell.source.file, number, (error.offset or 1) + shift, line)
        raise SyntaxError(error.msg, where) from None
    except ValueError:
        head = None
    if not isinstance(head, ast.For) or not isinstance(head.body[0], ast.Pass):
        where = (cell.source.file, number, shift + 1, line)
        raise SyntaxError("one loop is needed", where)  # noqa: TRY004 - it is the user's code
    for part in ast.walk(head):
        if isinstance(part, (ast.expr, ast.stmt)):
            part.lineno = part.end_lineno = number
            part.col_offset += shift
            part.end_col_offset = (part.end_col_offset or 0) + shift
    return head


def _wanted(source: Source, gather: str) -> str:
    """Where the value of an item is found."""
    if gather in names_of(source.padded, source.file).assigned:
        return gather
    if source.ends_with_value:
        return VALUE
    raise UsageError(
        f"nothing to gather: assign {gather} in the cell, or end it with an expression"
    )


def _without_note(error: BaseException, what: str) -> None:
    """The engine speaks of partitions; which item it was is said already."""
    notes = getattr(error, "__notes__", None)
    if notes:
        notes[:] = [note for note in notes if not note.startswith(f"while running {what}")]


def _is_name(text: str) -> bool:
    return text.isidentifier() and not keyword.iskeyword(text)


def load_ipython_extension(shell: Any) -> None:
    """Add the magics to a shell."""
    if isinstance(shell.magics_manager.registry.get(ParallelMagics.__name__), ParallelMagics):
        return
    magics = ParallelMagics(shell)
    shell.register_magics(magics)
    shell.events.register("pre_run_cell", magics.waiting.before_cell)
    shell.ast_transformers.append(magics.waiting)


def unload_ipython_extension(shell: Any) -> None:
    """Take the magics away, and end the process that waits for a cell.

    Cells in the background go on.
    """
    magics = shell.magics_manager.registry.pop(ParallelMagics.__name__, None)
    if magics is None:
        return
    for kind, names in magics.magics.items():
        for name, method in names.items():
            if shell.magics_manager.magics[kind].get(name) == method:
                del shell.magics_manager.magics[kind][name]
    shell.events.unregister("pre_run_cell", magics.waiting.before_cell)
    shell.ast_transformers.remove(magics.waiting)
    processes.rest()
