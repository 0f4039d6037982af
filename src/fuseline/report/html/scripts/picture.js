// The partition as a picture: which modules are open, what is drawn of it, what is chosen in it.

const Picture = (() => {
  const MARGIN = 300; // drawn around what is seen, so that moving shows no gaps
  const LEAST = 90; // pixels: a module smaller than that on screen shows nothing of what is inside,
  const FAINT = 0.25; // where it is drawn at less than this scale
  const MOST = 3000; // boxes drawn at once
  const AIR = 12; // pixels between a box that has the focus and the edge of the window
  const canvas = byId("picture");
  const tree = byId("tree");
  const note = byId("picture-note");
  const openness = new Map(); // strategy -> which pieces are open
  let drawing = null;
  let nodes = new Map(); // key of a box -> its element
  let current = null; // key of the box that the Tab key reaches
  let tell = () => {}; // who wants to know that something was opened or closed

  const open = () => {
    const { strategy } = State.now;
    if (!openness.has(strategy)) openness.set(strategy, Lift.opened(State.plan()));
    return openness.get(strategy);
  };

  // Lays out anew: after another strategy was chosen, or a module opened.
  function build() {
    const plan = State.plan();
    drawing = Layout.layOut(Lift.lifted(plan, open()));
    drawing.boxes.forEach((box, place) => (box.order = place));
    drawing.byKey = new Map(drawing.boxes.map((box) => [box.key, box]));
    const { width, height, children: [first] } = drawing.root;
    View.hold({ width, height, first: first ? first.left + first.width / 2 : 0 });
    for (const node of nodes.values()) node.remove();
    nodes = new Map();
    if (!drawing.byKey.has(current)) current = null;
    tell();
  }

  // Draws what is seen. Elements are kept while they are: focus stays where it was.
  function draw() {
    if (!drawing) return;
    const { seen, wanted, shut, left } = seenBoxes();
    const keep = new Set(wanted.map((box) => box.key));
    for (const [key, node] of nodes) {
      if (keep.has(key)) continue;
      node.remove();
      nodes.delete(key);
    }
    let before = null;
    for (const box of wanted) {
      let node = nodes.get(box.key);
      if (!node) {
        node = Draw.box(box, drawing.plan);
        nodes.set(box.key, node);
        if (before) before.after(node);
        else tree.prepend(node);
      }
      if (!box.isCard) {
        Draw.shut(node, box, shut.has(box));
        if (!shut.has(box)) Draw.links(node, box, drawing.widest, (path) => isNear(path, seen, box));
      }
      before = node;
    }
    mark();
    note.textContent = left ? `${Figures.count(left, "kernel")} too small to draw one by one: zoom in to see them.` : "";
  }

  // What is near enough to be seen, from the outside in, as many as may be drawn; in the order in
  // which it is read. A module too small for what is inside is shut: it shows shares alone.
  function seenBoxes() {
    const seen = View.seen();
    const queue = [drawing.root];
    const shut = new Set();
    let left = 0;
    for (let next = 0; next < queue.length; next++) {
      const box = queue[next];
      if (box.isCard) continue;
      const near = box.children.filter((child) => isNear(child, seen) || child.key === current);
      const isSmall = box.parent && seen.scale < FAINT && box.height * seen.scale < LEAST;
      if (isSmall || queue.length + near.length > MOST) {
        shut.add(box);
        left += box.piece.totals.launches;
      } else {
        queue.push(...near);
      }
    }
    const wanted = queue.sort((one, other) => one.order - other.order);
    return { seen, wanted, shut, left };
  }

  // Whether a box, or a link within `inside`, is seen or nearly so.
  const isNear = (box, seen, inside = { left: 0, top: 0 }) =>
    inside.left + box.left < seen.right + MARGIN && inside.left + box.left + box.width > seen.left - MARGIN
    && inside.top + box.top < seen.bottom + MARGIN && inside.top + box.top + box.height > seen.top - MARGIN;

  // What is chosen, who it reads from, who reads from it; and where the Tab key goes.
  function mark() {
    const group = State.selected();
    const chosen = group ? homeOf(group.id) : drawing.byKey.get(String(State.now.piece));
    const [from, to] = group ? neighbours(group) : [new Set(), new Set()];
    const first = current ?? chosen?.key ?? firstKey();
    for (const [key, node] of nodes) {
      const isChosen = chosen?.key === key;
      node.classList.toggle("selected", isChosen);
      node.classList.toggle("feeds", from.has(key));
      node.classList.toggle("fed", to.has(key));
      if (node.getAttribute("role") !== "treeitem") continue;
      node.setAttribute("aria-selected", String(isChosen));
      node.setAttribute("tabindex", key === first ? "0" : "-1");
    }
    for (const node of tree.querySelectorAll(".link")) {
      const ends = [node.link.from.key, node.link.to.key];
      node.classList.toggle("lit", Boolean(chosen) && ends.includes(chosen.key));
    }
  }

  const firstKey = () => items().at(0)?.key;

  function homeOf(group) {
    const piece = drawing.plan.pieceOf.get(group);
    return piece ? drawing.homes[piece.first] : undefined;
  }

  function neighbours(group) {
    const [from, to] = [new Set(), new Set()];
    for (const edge of drawing.plan.edges) {
      if (edge.target === group.id && edge.source >= 0) from.add(homeOf(edge.source)?.key);
      if (edge.source === group.id && edge.target >= 0) to.add(homeOf(edge.target)?.key);
    }
    return [from, to];
  }

  // Opens or closes a piece; the box that was acted on stays where it is on the screen.
  function toggle(piece, how) {
    const before = drawing.byKey.get(String(piece.id));
    const state = open();
    if (how) state.set(piece.id, how);
    else if (state.has(piece.id)) state.delete(piece.id);
    else state.set(piece.id, Lift.OPEN);
    rebuild(piece, before);
  }

  function rebuild(piece, before) {
    const hadFocus = tree.contains(document.activeElement);
    const place = before && { left: before.left, top: before.top };
    build();
    const after = drawing.byKey.get(String(piece.id));
    if (after && place) {
      View.move((place.left - after.left) * View.at.scale, (place.top - after.top) * View.at.scale);
    }
    if (after) {
      current = after.key;
      View.reveal(after);
    }
    draw();
    if (hadFocus) focus(current);
  }

  // Opens all that stands around a piece, every copy of a repeat where it is in a later one.
  function uncover(piece, isOpened = false) {
    const state = open();
    let isChanged = false;
    const put = (inside, how) => {
      isChanged ||= state.get(inside.id) !== how;
      state.set(inside.id, how);
    };
    if (isOpened && !state.has(piece.id)) put(piece, Lift.OPEN);
    for (let at = piece; at.parent; at = at.parent) {
      const above = at.parent;
      if (above.kind === "repeat") put(above, at.place || state.get(above.id) === Lift.ALL ? Lift.ALL : Lift.OPEN);
      else if (!state.has(above.id)) put(above, Lift.OPEN);
    }
    if (isChanged) build();
    const box = drawing.byKey.get(String(piece.id)) ?? drawing.homes[piece.first];
    current = box.key;
    View.reveal(box, true);
    draw();
  }

  // What is chosen in a chart or a table: chosen everywhere, and shown here.
  function goTo(group) {
    const piece = drawing.plan.pieceOf.get(group);
    if (piece) uncover(piece);
    State.select(group);
    if (piece) canvas.closest("section").scrollIntoView({ block: "start" });
  }

  // A module likewise, opened.
  function goToPiece(piece) {
    uncover(piece, true);
    State.set({ group: null, piece: piece.id });
    canvas.closest("section").scrollIntoView({ block: "start" });
  }

  // The boxes that keys go through, as they are read.
  function items() {
    const found = [];
    const walk = (box) => {
      if (box.parent && !box.isPort) found.push(box);
      if (!box.isCard) box.children.forEach(walk);
    };
    walk(drawing.root);
    return found;
  }

  function focus(key) {
    const box = drawing.byKey.get(key);
    if (!box) return;
    current = key;
    View.reveal(box);
    draw();
    const node = nodes.get(key);
    node?.focus({ preventScroll: true }); // the browser would scroll to all of an open module
    if (node) scrollTo(node);
  }

  // Scrolls the page as little as shows a box, below what stands at the page's top.
  function scrollTo(node) {
    const rect = (node.querySelector(":scope > .head, :scope > .outline") ?? node).getBoundingClientRect();
    const bar = document.querySelector(".top");
    const top = AIR + (getComputedStyle(bar).position === "sticky" ? bar.offsetHeight : 0);
    if (rect.top < top) scrollBy(0, rect.top - top);
    else if (rect.bottom > innerHeight - AIR) scrollBy(0, rect.bottom - innerHeight + AIR);
  }

  function act(box) {
    if (box.piece.kind === "group") {
      State.select(box.piece.group === State.now.group ? null : box.piece.group);
    } else {
      toggle(box.piece);
      State.set({ group: null, piece: box.piece.id });
    }
  }

  // All copies of a repeat, or the first alone.
  function unfold(piece) {
    const isAll = open().get(piece.id) === Lift.ALL;
    toggle(piece, isAll ? Lift.OPEN : Lift.ALL);
    State.set({ group: null, piece: piece.id });
  }

  function everything(how) {
    const state = open();
    state.clear();
    state.set(State.plan().root.id, Lift.OPEN);
    if (how === "open") {
      for (const piece of State.plan().pieces) {
        if (piece.kind !== "group") state.set(piece.id, Lift.OPEN);
      }
    }
    build();
    View.fit();
    draw();
    if (State.now.piece !== null && !drawing.byKey.has(String(State.now.piece))) State.set({ piece: null });
  }

  // Brings what is chosen into view, or what stands for it.
  function look() {
    const home = State.now.group === null ? undefined : homeOf(State.now.group);
    if (home) View.reveal(home);
  }

  const boxOf = (node) => drawing.byKey.get(node?.dataset.piece);

  return {
    act, boxOf, build, canvas, draw, everything, focus, goTo, goToPiece, items, look, tree, uncover, unfold,
    box: (key) => drawing.byKey.get(key),
    widest: () => drawing.widest,
    current: () => current ?? firstKey(),
    isAll: (piece) => open().get(piece.id) === Lift.ALL,
    isOpen: (piece) => open().has(piece.id),
    remember: (key) => (current = key),
    tells: (work) => (tell = work),
  };
})();
