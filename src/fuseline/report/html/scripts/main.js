// Everything that follows when something else is looked at, and the first look.

(() => {
  const select = byId("strategy");

  function showPlan() {
    const plan = State.plan();
    select.value = String(State.now.strategy);
    byId("headlines").replaceChildren(...plan.headlines.map((said) => el("li", {}, said)));
    byId("tiles").replaceChildren(...plan.tiles.map(([label, value, unit, note]) => el("div", { class: "tile" },
      el("dt", {}, label), el("dd", {}, value, " ", el("span", { class: "unit" }, unit)), el("dd", { class: "under" }, note))));
    for (const line of document.querySelectorAll("[data-strategy]")) {
      const isChosen = line.dataset.strategy === String(State.now.strategy);
      line.classList.toggle("selected", isChosen);
      line.querySelector("button")?.setAttribute("aria-pressed", String(isChosen));
    }
    for (const place of document.querySelectorAll(".of-strategy")) {
      place.textContent = Data.strategies[State.now.strategy].label;
    }
  }

  function showLegend() {
    byId("legend").replaceChildren(
      ...Colour.legend().map(([colour, said]) => el("li", {}, el("i", { style: `background: ${colour}` }), el("bdi", {}, said))),
      ...illegal(),
      el("li", { class: "size" }, `a box is filled as far as it moves bytes: full is ${Figures.bytes(State.plan().most)}`),
      el("li", { class: "size" }, `the bar of a closed module is its share of all ${Figures.bytes(State.plan().total)}`),
      el("li", { class: "size" }, "a module too small for its kernels shows the shares of their bytes"),
      el("li", { class: "size" }, `a line is as thick as its bytes, at most ${Figures.bytes(Picture.widest())}`));
  }

  function illegal() {
    const { broken } = State.plan().root;
    return broken ? [el("li", {}, el("i", { class: "illegal" }), `hatched, dashed: ${State.plan().illegal_said}`)] : [];
  }

  State.read(); // nobody listens yet: what follows shows it all
  State.listen((changed) => {
    if (changed.has("strategy")) {
      showPlan();
      Search.look();
      Picture.build();
      View.fit();
      Tables.fill();
    } else if (changed.has("colour")) {
      Picture.build();
    }
    if (changed.has("group")) Picture.look();
    Picture.draw();
    if (changed.has("strategy") || changed.has("colour")) showLegend();
    Details.show();
    if (changed.has("group")) Tables.mark();
    if (changed.has("strategy")) Charts.draw();
    else if (changed.has("group")) Charts.mark();
  });

  select.addEventListener("change", () => State.set({ strategy: Number(select.value) }));
  for (const choice of document.querySelectorAll("[name=colour]")) {
    choice.addEventListener("change", () => State.set({ colour: choice.value }));
  }
  for (const line of document.querySelectorAll("[data-strategy]")) {
    const cell = line.querySelector("th");
    cell.replaceChildren(el("button", {
      type: "button", class: "link", click: () => State.set({ strategy: Number(line.dataset.strategy) }),
    }, ...cell.childNodes));
  }

  byId("theme").addEventListener("click", () => {
    const isDark = getComputedStyle(document.documentElement).colorScheme === "dark"
      || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
    document.documentElement.dataset.theme = isDark ? "light" : "dark";
  });

  // The address holds what is looked at, so links within the page must not change it.
  for (const link of document.querySelectorAll("a[href^='#']")) {
    link.addEventListener("click", (event) => {
      const place = byId(link.getAttribute("href").slice(1));
      event.preventDefault();
      if (place === Picture.canvas) {
        byId("partition").scrollIntoView();
        Picture.focus(Picture.current());
        return;
      }
      place.scrollIntoView();
      place.focus({ preventScroll: true });
    });
  }

  // On paper all of the picture is seen, however small.
  window.addEventListener("beforeprint", () => View.fit(true));
  window.addEventListener("afterprint", () => View.fit());

  document.documentElement.classList.add("live");
  View.draws(Picture.draw);
  Picture.tells(() => Details.show());
  showPlan();
  Picture.build();
  View.fit();
  Picture.look();
  Picture.draw();
  showLegend();
  Details.show();
  for (const choice of document.querySelectorAll("[name=colour]")) choice.checked = choice.value === State.now.colour;
  performance.mark("first-picture");
  setTimeout(() => {
    Charts.reserve();
    Tables.fill();
    if (State.now.group !== null) Tables.mark();
  });
})();
