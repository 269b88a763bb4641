// A table of thousands of rows of which only those in sight are elements. The page itself scrolls.

import { h } from "./dom.js";

const BEYOND = 8; // rows above and below what is in sight

export class RowTable {
  /**
   * `columns` are {name, class}; `cells(item)` makes the contents of a row's cells, the first with a link. `tools` is
   * what stays at the top when the page scrolls; the heads stay below it.
   */
  constructor({ label, columns, cells, tools, kind = "" }) {
    this.tools = tools;
    this.cells = cells;
    this.items = [];
    this.rows = new Map();
    this.active = null; // the id of the row that Tab comes to
    const heads = columns.map((column) => h("div", { role: "columnheader", class: column.class }, column.name));
    this.head = h("div", { role: "rowgroup", class: "rows-head" }, h("div", { role: "row", "aria-rowindex": 1, class: "row head" }, heads));
    this.columns = columns;
    this.body = h("div", { role: "rowgroup", class: "rows-body" });
    this.element = h(
      "div",
      { role: "table", class: `rows ${kind}`, "aria-label": label, on: { keydown: (event) => this.key(event), focusin: (event) => this.focused(event) } },
      this.head,
      this.body,
    );
    this.draw = () => this.render();
    window.addEventListener("scroll", this.draw, { passive: true });
    window.addEventListener("resize", this.draw, { passive: true });
  }

  close() {
    window.removeEventListener("scroll", this.draw);
    window.removeEventListener("resize", this.draw);
  }

  /** Shows `items`, each with an `id`; an item that is the same object as before is not drawn again. */
  show(items) {
    this.items = items;
    this.places = new Map(items.map((item, index) => [item.id, index]));
    this.element.setAttribute("aria-rowcount", items.length + 1);
    if (!this.places.has(this.active)) this.active = items[0]?.id ?? null;
    this.render();
  }

  render() {
    if (!this.element.isConnected) return;
    this.head.style.top = `${this.tools.offsetHeight}px`;
    this.height = parseFloat(getComputedStyle(this.element).getPropertyValue("--row"));
    this.body.style.height = `${this.items.length * this.height}px`;
    const top = this.body.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(-top / this.height) - BEYOND);
    const last = Math.min(this.items.length, Math.ceil((window.innerHeight - top) / this.height) + BEYOND);
    const wanted = new Set();
    for (let index = first; index < last; index += 1) wanted.add(index);
    const place = this.places?.get(this.active); // the active row stays an element: it may have the focus
    if (place !== undefined) wanted.add(place);
    const seen = new Set();
    for (const index of wanted) seen.add(this.put(index));
    for (const [id, row] of this.rows) {
      if (!seen.has(id)) {
        row.element.remove();
        this.rows.delete(id);
      }
    }
    this.order();
  }

  put(index) {
    const item = this.items[index];
    let row = this.rows.get(item.id);
    if (row === undefined) {
      row = { element: h("div", { role: "row", class: "row" }), item: null };
      this.rows.set(item.id, row);
      this.body.append(row.element);
    }
    if (row.item !== item) {
      const hadFocus = row.element.contains(document.activeElement);
      row.item = item;
      row.element.replaceChildren(
        ...this.cells(item).map((content, column) => h("div", { role: "cell", class: this.columns[column].class }, content)),
      );
      row.link = row.element.querySelector("a");
      if (hadFocus) row.link.focus({ preventScroll: true });
    }
    row.index = index;
    row.element.style.transform = `translateY(${index * this.height}px)`;
    row.element.setAttribute("aria-rowindex", index + 2);
    row.link.tabIndex = item.id === this.active ? 0 : -1;
    return item.id;
  }

  /** Elements stand in the order in which they are seen: that is how they are read. The one with the focus stays. */
  order() {
    const sorted = [...this.rows.values()].sort((a, b) => a.index - b.index);
    const focused = sorted.find((row) => row.element.contains(document.activeElement));
    let before = true;
    for (const [position, row] of sorted.entries()) {
      if (row === focused) before = false;
      if (this.body.children[position] === row.element || row === focused) continue;
      if (before && focused) this.body.insertBefore(row.element, focused.element);
      else this.body.append(row.element);
    }
  }

  focused(event) {
    const row = [...this.rows.values()].find((one) => one.element.contains(event.target));
    if (row && row.item.id !== this.active) {
      this.active = row.item.id;
      this.render();
    }
  }

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || !this.items.length) return;
    const page = Math.max(1, Math.floor(window.innerHeight / this.height) - 3);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const now = this.places.get(this.active) ?? 0;
    this.go(Math.min(this.items.length - 1, Math.max(0, now + steps[event.key])));
  }

  go(index) {
    this.active = this.items[index].id;
    const covered = this.head.getBoundingClientRect().bottom + 8; // what stays at the top when the page scrolls
    const top = this.body.getBoundingClientRect().top + index * this.height;
    if (top < covered) window.scrollBy(0, top - covered);
    else if (top + this.height > window.innerHeight - 8) window.scrollBy(0, top + this.height - window.innerHeight + 8);
    this.render();
    this.rows.get(this.active).link.focus({ preventScroll: true });
  }
}
