// A table that is sorted by any column, filtered by any word, and turned page by page.
//
// A column: { label, value(row), text?(row), node?(row), title, isNumber, isLong, isCut, isOnScreen }:
// the last is left out on paper. A row is { key, ... }.

class Grid {
  static PAGE = 200;
  static PRINTED = 1000; // rows on paper; the count says how many there are

  constructor(place, { name, columns, rowName = "row", chosen = () => null, act = null, sums = null, opens = false, sorted = { column: null, down: true } }) {
    Object.assign(this, { place, name, columns, rowName, chosen, act, sums, opens, sorted });
    this.rows = [];
    this.found = [];
    this.page = 0;
    this.most = Grid.PAGE;
    this.open = new Set(); // keys of rows whose long texts are shown in full
    this.build();
    if (opens) new ResizeObserver(oncePerFrame(() => this.offer())).observe(this.place);
  }

  build() {
    this.filter = el("input", {
      type: "search", class: "filter", placeholder: "filter", "aria-label": `Filter ${this.name}`,
      input: () => this.restart(),
    });
    this.count = el("span", { class: "count", role: "status" });
    this.back = el("button", { type: "button", class: "quiet", click: () => this.turn(-1) }, "‹ before");
    this.on = el("button", { type: "button", class: "quiet", click: () => this.turn(1) }, "next ›");
    this.head = el("tr", {}, ...this.columns.map((column, place) => this.heading(column, place)));
    this.body = el("tbody", { click: (event) => this.clicked(event) });
    this.foot = el("tfoot");
    this.table = el("table", { class: "grid" },
      el("caption", { class: "hidden" }, this.name), el("thead", {}, this.head), this.body, this.foot);
    this.place.replaceChildren(
      el("div", { class: "bar" }, this.filter, this.count, el("span", { class: "pages" }, this.back, this.on)),
      el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": this.name }, this.table));
  }

  static classOf(column) {
    const kind = column.isNumber ? "number" : column.isLong ? "long" : "words";
    return column.isOnScreen ? `${kind} screen` : kind;
  }

  heading(column, place) {
    const sort = el("button", { type: "button", title: column.title ?? null, click: () => this.sort(place) }, column.label);
    return el("th", { scope: "col", class: Grid.classOf(column), "aria-sort": "none" }, sort);
  }

  fill(rows) {
    this.rows = rows;
    this.open.clear();
    this.restart();
  }

  // Numbers are first sorted from the largest, words from A; then the other way.
  sort(place) {
    const isSame = this.sorted.column === place;
    this.sorted = { column: place, down: isSame ? !this.sorted.down : Boolean(this.columns[place].isNumber) };
    this.restart();
  }

  restart() {
    this.page = 0;
    const words = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    this.found = words.length ? this.rows.filter((row) => words.every((word) => this.textOf(row).includes(word))) : [...this.rows];
    const { column, down } = this.sorted;
    if (column !== null) {
      const { value } = this.columns[column];
      const order = (one, other) => compare(value(one), value(other));
      this.found.sort(down ? (one, other) => order(other, one) : order);
    }
    [...this.head.children].forEach((cell, place) =>
      cell.setAttribute("aria-sort", place !== column ? "none" : down ? "descending" : "ascending"));
    this.draw();
  }

  textOf(row) {
    row.found ??= this.columns.map((column) => `${column.text?.(row) ?? ""} ${column.value(row) ?? ""}`).join(" ").toLowerCase();
    return row.found;
  }

  clear() {
    this.filter.value = "";
    this.restart();
  }

  // On paper there are no pages to turn.
  print(isPrinting) {
    this.most = isPrinting ? Grid.PRINTED : Grid.PAGE;
    const before = this.page;
    if (isPrinting) this.page = 0;
    this.draw();
    this.page = before;
  }

  turn(step) {
    this.page += step;
    this.draw();
  }

  // The page that a row is on; false where the filter hides it.
  show(key) {
    const place = this.found.findIndex((row) => row.key === key);
    if (place >= 0) this.page = Math.floor(place / Grid.PAGE);
    this.draw();
    return place >= 0;
  }

  draw() {
    const start = this.page * this.most;
    const shown = this.found.slice(start, start + this.most);
    const chosen = this.chosen();
    this.body.replaceChildren(...shown.map((row) => this.line(row, row.key === chosen)));
    this.foot.replaceChildren(...(this.sums ? this.sums(this.found, this.found.length === this.rows.length) : []).map((cells) => this.sumLine(cells)));
    const all = this.rows.length === this.found.length ? "" : ` of ${Figures.whole(this.rows.length)}`;
    const which = shown.length < this.found.length ? `${Figures.whole(start + 1)} to ${Figures.whole(start + shown.length)} of ` : "";
    this.count.textContent = `${which}${Figures.count(this.found.length, this.rowName)}${all}`;
    if (this.opens) this.offer();
    this.back.disabled = this.page === 0;
    this.on.disabled = start + this.most >= this.found.length;
    this.back.hidden = this.on.hidden = this.found.length <= this.most;
  }

  line(row, isChosen) {
    const cells = this.columns.map((column, place) => {
      const content = column.node?.(row) ?? column.text?.(row) ?? column.value(row) ?? "-";
      const inside = this.act && !place
        ? el("button", { type: "button", class: "link" }, content)
        : typeof content === "string" ? el("bdi", {}, shortened(content, 400)) : content;
      const isCut = column.isCut || (this.opens && !column.isNumber);
      return el("td", { class: Grid.classOf(column) }, isCut ? el("div", { class: column.isCut ? "cut" : "cut two" }, inside) : inside);
    });
    if (this.opens) cells[this.columns.findIndex((column) => column.isLong)].append(this.opener(row));
    const classes = [isChosen && "selected", this.open.has(row.key) && "open"].filter(Boolean).join(" ");
    return el("tr", { class: classes || null, "data-key": row.key, "aria-selected": isChosen ? "true" : null }, ...cells);
  }

  // Only where something is cut is there more to show.
  offer() {
    for (const line of this.body.children) {
      const isCut = [...line.querySelectorAll(".cut")].some((cell) => cell.scrollHeight > cell.clientHeight + 1);
      line.querySelector(".opener").hidden = !isCut && !line.classList.contains("open");
    }
  }

  // Long texts are cut to two lines; this shows those of one row in full.
  opener(row) {
    const said = () => (this.open.has(row.key) ? "less" : "more");
    return el("button", {
      type: "button", class: "quiet opener", "aria-expanded": String(this.open.has(row.key)),
      click: ({ currentTarget }) => {
        if (!this.open.delete(row.key)) this.open.add(row.key);
        currentTarget.closest("tr").classList.toggle("open", this.open.has(row.key));
        currentTarget.setAttribute("aria-expanded", String(this.open.has(row.key)));
        currentTarget.textContent = said();
      },
    }, said());
  }

  sumLine(cells) {
    return el("tr", {}, ...cells.map((cell, place) =>
      el(place ? "td" : "th", { class: Grid.classOf(this.columns[place]), scope: place ? null : "row" }, cell)));
  }

  clicked(event) {
    const line = event.target.closest("tr");
    if (!this.act || !line || event.target.closest("button:not(.link)")) return;
    const row = this.found.find((found) => String(found.key) === line.dataset.key);
    if (row) this.act(row);
  }
}

// What is not known comes last from the largest, first from the smallest.
function compare(one, other) {
  if (one === other) return 0;
  if (one === null || one === undefined) return -1;
  if (other === null || other === undefined) return 1;
  if (typeof one === "number" && typeof other === "number") return one - other;
  return String(one).localeCompare(String(other), "en", { numeric: true });
}
