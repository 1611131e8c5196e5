// Draws what is told of a run. All words come from the kernel and are shown as text, never as HTML.

import { type Model, request } from "./kernel";

interface Row {
  name: string;
  where: string;
  fraction: number;
  count: string;
  made: string;
}

interface Telling {
  run: number;
  outcome: string;
  title: string;
  where: string;
  fraction: number;
  status: string;
  figures: string[];
  memory: string;
  memory_fraction: number;
  rows: Row[];
  note: string;
}

/** Seconds between two announcements to a screen reader. */
const ANNOUNCE = 5;

function render({ model, el }: { model: Model; el: HTMLElement }): () => void {
  const view = new View(() => {
    const telling = model.get("telling") as Telling;
    void request(model, { stop: telling.run });
  });
  const draw = () => view.draw(model.get("telling") as Telling);
  draw();
  el.append(view.root);
  model.on("change:telling", draw);
  return () => model.off("change:telling", draw);
}

/** One view: its elements are made once and filled again and again. */
class View {
  readonly root = make("div", "nbscale-progress");
  private readonly mark = make("span", "nbscale-mark");
  private readonly title = make("span", "nbscale-title");
  private readonly where = make("span", "nbscale-where");
  private readonly status = make("span", "nbscale-status");
  private readonly stop = make("button", "nbscale-stop");
  private readonly bar = new Bar("nbscale-bar");
  private readonly figures = make("div", "nbscale-figures");
  private readonly memory = make("span", "nbscale-memory");
  private readonly memoryText = make("span");
  private readonly memoryBar = new Bar("nbscale-memory-bar");
  private readonly figuresText = make("span");
  private readonly rows = make("div", "nbscale-rows");
  private readonly note = make("div", "nbscale-note");
  private readonly spoken = make("div", "nbscale-spoken");
  private readonly lines: Line[] = [];
  private announced = 0;
  private asked = false;

  constructor(stop: () => void) {
    const head = make("div", "nbscale-head");
    head.append(this.mark, this.title, this.where, this.status, this.stop);
    this.memory.append(this.memoryText, this.memoryBar.root);
    this.figures.append(this.figuresText, this.memory);
    this.root.append(head, this.bar.root, this.figures, this.rows, this.note, this.spoken);
    this.root.setAttribute("role", "group");
    this.bar.root.setAttribute("role", "progressbar");
    this.bar.root.setAttribute("aria-valuemin", "0");
    this.bar.root.setAttribute("aria-valuemax", "100");
    this.rows.setAttribute("role", "list");
    this.spoken.setAttribute("aria-live", "polite");
    this.stop.type = "button";
    put(this.stop, "Stop");
    this.stop.addEventListener("click", () => {
      this.asked = true;
      this.stop.disabled = true;
      put(this.stop, "Stopping…");
      stop();
    });
  }

  draw(telling: Telling): void {
    const over = telling.outcome !== "running";
    this.root.dataset.outcome = telling.outcome;
    this.root.setAttribute("aria-label", `Progress of ${telling.title}`);
    put(this.mark, MARKS[telling.outcome] ?? "");
    put(this.title, telling.title);
    this.title.title = telling.title;
    put(this.where, telling.where);
    put(this.status, telling.status);
    this.stop.hidden = over;
    this.bar.fill(telling.fraction);
    this.bar.root.setAttribute("aria-valuenow", String(Math.floor(100 * telling.fraction)));
    this.bar.root.setAttribute("aria-valuetext", `${telling.status}, ${telling.figures.join(", ")}`);
    put(this.figuresText, telling.figures.join("  ·  "));
    this.memory.hidden = telling.memory === "";
    put(this.memoryText, `memory ${telling.memory}`);
    this.memoryBar.fill(telling.memory_fraction);
    put(this.note, telling.note);
    this.list(telling.rows);
    this.speak(telling, over);
  }

  private list(rows: Row[]): void {
    while (this.lines.length > rows.length) {
      this.lines.pop()?.root.remove();
    }
    rows.forEach((row, i) => {
      let line = this.lines[i];
      if (line === undefined) {
        line = new Line();
        this.lines.push(line);
        this.rows.append(line.root);
      }
      line.draw(row);
    });
  }

  private speak(telling: Telling, over: boolean): void {
    const now = performance.now() / 1000;
    if (over || this.asked || now - this.announced > ANNOUNCE) {
      this.announced = now;
      put(this.spoken, `${telling.title}: ${this.asked && !over ? "stopping" : telling.status}`);
    }
  }
}

const MARKS: Record<string, string> = { done: "✓", failed: "✗", cancelled: "■" };

class Line {
  readonly root = make("div", "nbscale-row");
  private readonly name = make("span", "nbscale-name");
  private readonly where = make("span", "nbscale-where");
  private readonly bar = new Bar("nbscale-row-bar");
  private readonly count = make("span", "nbscale-count");
  private readonly made = make("span", "nbscale-made");

  constructor() {
    this.root.setAttribute("role", "listitem");
    this.root.append(this.name, this.where, this.bar.root, this.count, this.made);
  }

  draw(row: Row): void {
    put(this.name, row.name);
    this.name.title = row.name;
    put(this.where, row.where);
    this.where.title = row.where;
    this.bar.fill(row.fraction);
    put(this.count, row.count);
    put(this.made, row.made);
    this.root.dataset.done = String(row.fraction >= 1);
    this.root.dataset.own = String(row.where === "");
  }
}

class Bar {
  readonly root: HTMLDivElement;
  private readonly filled = make("div", "nbscale-filled");

  constructor(name: string) {
    this.root = make("div", name);
    this.root.append(this.filled);
  }

  fill(fraction: number): void {
    this.filled.style.width = `${(100 * Math.min(1, Math.max(0, fraction))).toFixed(1)}%`;
  }
}

function make<K extends keyof HTMLElementTagNameMap>(tag: K, name = ""): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  element.className = name;
  return element;
}

/** Set an element's text, if it changed: what is selected or read aloud stays so. */
function put(element: HTMLElement, text: string): void {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

export default { render };
