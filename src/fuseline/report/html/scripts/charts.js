// The charts, drawn by Vega. It is large, so it is read only when a chart comes near.

const Charts = (() => {
  const drawn = new Map(); // place -> { spec, view }
  let ready = null; // Vega, once it is wanted
  let isNear = false;
  const WIDE = 640; // pixels
  const AXIS_AND_LEGEND = 80; // pixels below and above the marks
  const AROUND = { strategies: 51, capacity: 51 }; // the same without a legend
  const NAME = 90; // characters of a module's path in a chart

  const OPTIONS = {
    actions: false,
    renderer: "svg",
    logLevel: 1, // errors: a layer without marks is none
    ast: true, // no code is made from text: the page forbids it
    tooltip: (handler, event, item, value) => {
      if (!value || typeof value !== "object") return Tooltip.hide();
      const [first, ...rest] = Object.entries(value);
      Tooltip.show({ title: String(first[1]), pairs: rest }, Tooltip.around(event));
    },
  };

  function load() {
    ready ??= new Promise((resolve) => {
      const script = el("script");
      script.textContent = byId("vega").textContent;
      document.head.append(script);
      resolve(window.vegaEmbed);
    });
    return ready;
  }

  const specsNow = () => ({ ...Data.chart(0), ...Data.chart(State.now.strategy + 1) });

  // Keeps room for charts that are not drawn yet: else what is below them would move when they are.
  function reserve() {
    const specs = specsNow();
    for (const place of document.querySelectorAll("[data-chart]")) {
      const spec = specs[place.dataset.chart];
      const figure = place.closest("figure");
      figure.hidden = !spec;
      if (!spec || drawn.has(place)) continue;
      caption(figure, spec.title);
      const around = AROUND[place.dataset.chart] ?? AXIS_AND_LEGEND;
      place.style.minHeight = `${(Number(spec.height) || 0) + around}px`;
    }
  }

  async function draw() {
    if (!isNear) return void reserve();
    await load();
    const specs = specsNow();
    for (const place of document.querySelectorAll("[data-chart]")) {
      const spec = specs[place.dataset.chart];
      place.closest("figure").hidden = !spec;
      if (spec && drawn.get(place)?.spec !== spec) await one(place, spec);
    }
    mark();
  }

  // The title as text of the page: it wraps, and is read aloud.
  function caption(figure, { text, subtitle = [] }) {
    const lines = [subtitle].flat().map((line) => el("p", {}, el("bdi", {}, line)));
    figure.querySelector("figcaption").replaceChildren(el("h3", {}, el("bdi", {}, text)), ...lines);
  }

  // In a narrow place the entries of a legend stand below each other.
  const themeFor = (place) =>
    place.clientWidth < WIDE ? { ...Data.theme, legend: { ...Data.theme.legend, columns: 1 } } : Data.theme;

  async function one(place, spec) {
    drawn.get(place)?.view.finalize();
    drawn.delete(place);
    const { title, ...chart } = structuredClone(spec);
    caption(place.closest("figure"), title);
    // Vega makes of it what the place is called: what is seen, and what keys do there.
    place.dataset.about ??= place.getAttribute("aria-label");
    const seen = chart.description ?? [title.text, title.subtitle ?? []].flat(2).slice(0, 2).join(". ");
    chart.description = `${seen.replace(/\.?$/, ".")} ${place.dataset.about}`;
    const { view } = await window.vegaEmbed(place, chart, { ...OPTIONS, config: themeFor(place) });
    drawn.set(place, { spec, view });
    place.style.minHeight = "";
    view.addEventListener("click", (event, item) => choose(place.dataset.chart, item?.datum));
  }

  // A mark that is chosen: a kernel or a module is shown in the picture, a strategy everywhere.
  function choose(chart, datum, isShown = true) {
    if (!datum) return;
    if (chart === "strategies") {
      if (datum.place !== undefined) State.set({ strategy: datum.place });
      return;
    }
    Tooltip.hide();
    if (datum.group !== undefined && isShown) Picture.goTo(datum.group);
    else if (datum.group !== undefined) State.select(datum.group);
    else if (chart === "icicle" && datum.module) show(datum);
  }

  // A module, opened in the picture.
  function show({ module }) {
    const piece = State.plan().pieces.find((found) => found.kind !== "group" && shortened(found.path, NAME) === module);
    if (piece) Picture.goToPiece(piece);
  }

  // Left and right (up and down) go from mark to mark, as a pointer would.
  const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  function pressed(event) {
    const { chart } = event.currentTarget.dataset;
    const spec = drawn.get(event.currentTarget)?.spec;
    if (!spec || !(STEPS[event.key] || event.key === "Enter")) return;
    event.preventDefault();
    const marks = marksOf(chart, spec);
    const at = marks.findIndex((mark) => mark === reached.get(chart));
    const mark = STEPS[event.key] ? marks[(at + STEPS[event.key] + marks.length) % marks.length] : marks[at];
    reached.set(chart, mark);
    const isModule = mark && chart === "icicle" && mark.group === undefined;
    if (mark && (!isModule || event.key === "Enter")) choose(chart, mark, event.key === "Enter");
    if (isModule) byId("live").textContent = `${mark.what}: ${mark["bytes moved"]} bytes, ${mark["of all"]}`;
  }

  const reached = new Map(); // chart -> the mark that keys came to
  function marksOf(chart, { datasets }) {
    if (chart === "strategies") return datasets.bars;
    if (chart === "icicle") return datasets.rects;
    return [...datasets.points].sort((one, other) => one.x - other.x);
  }

  for (const place of document.querySelectorAll("[data-chart][tabindex]")) place.addEventListener("keydown", pressed);

  // Tells the charts what is chosen.
  function mark() {
    for (const [place, { spec, view }] of drawn) {
      if (!spec.params?.some((found) => found.name === "selected")) continue;
      view.signal("selected", place.dataset.chart === "strategies" ? State.now.strategy : State.now.group).runAsync();
    }
  }

  const watcher = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    watcher.disconnect();
    isNear = true;
    draw();
  }, { rootMargin: "600px" });
  for (const place of document.querySelectorAll("[data-chart]")) watcher.observe(place);

  window.addEventListener("beforeprint", () => {
    isNear = true;
    draw();
  });

  return { draw, mark, reserve };
})();
