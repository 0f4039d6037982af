// Boxes and links as SVG.

const Draw = (() => {
  const LABEL = "600 12.5px system-ui, sans-serif";
  const SMALL = "11px system-ui, sans-serif";
  const BADGE = "italic 650 11px system-ui, sans-serif";
  const MANY = 400; // links of one container
  const THICKEST = 5.5;
  const { CARD } = Layout;

  // One box: a tree item, so that a screen reader knows its level and whether it is open.
  function box(found, plan) {
    if (found.isPort) return port(found);
    return found.isCard ? card(found, plan) : container(found);
  }

  function item(found, classes, label) {
    const { piece } = found;
    const isGroup = piece.kind === "group";
    return svg("g", {
      class: `node ${classes}`,
      transform: `translate(${found.left} ${found.top})`,
      "data-piece": piece.id,
      "data-kind": piece.kind,
      "data-group": isGroup ? piece.group : null,
      ...(found.parent ? {
        role: "treeitem",
        "aria-level": found.depth,
        "aria-expanded": isGroup ? null : String(!found.isCard),
        "aria-label": shortened(label, 300),
      } : { role: "none" }),
      tabindex: "-1",
    });
  }

  function card(found, plan) {
    return found.piece.kind === "group" ? group(found, plan) : closed(found, plan);
  }

  // A group: filled as far as its bytes go; a full box is the group that moves most.
  function group(found, plan) {
    const member = plan.byId.get(found.piece.group);
    const rule = plan.broken.get(member.id);
    const said = rule ? `no kernel under ${plan.judged_by}` : member.unknown_ops ? "unknown ops" : "";
    const moved = Figures.bytes(member.traffic_bytes) + each(found);
    const whole = [moved, member.bottleneck].filter(Boolean).join(" · ");
    // What is wrong is said before what bounds it, which the colour says too.
    const sub = textWidth(whole, SMALL) + textWidth(said, BADGE) + 28 < CARD.width ? whole : moved;
    const words = [member.label, whole, said && rule ? `${said}: ${rule}` : said, `group ${member.id}`];
    const node = item(found, `card group ${rule ? "illegal" : ""}`, words.filter(Boolean).join(", "));
    const width = (CARD.width * member.traffic_bytes) / plan.most;
    node.append(
      svg("rect", { class: "frame", width: CARD.width, height: CARD.height, rx: 5 }),
      svg("rect", { class: "fill", width, height: CARD.height, rx: Math.min(5, width / 2), style: `fill: ${Colour.ofGroup(member)}` }),
      svg("rect", { class: "outline", width: CARD.width, height: CARD.height, rx: 5 }),
      text("label", 10, 18, fitted(member.label, CARD.width - 20, LABEL)),
      text("sub", 10, 34, sub),
    );
    if (rule) node.querySelector(".fill").after(svg("rect", { class: "hatch", width: CARD.width, height: CARD.height, rx: 5 }));
    if (said) node.append(text("badge", CARD.width - 10, 34, said, "end"));
    return node;
  }

  const each = (found) => (found.isEach ? " each" : "");
  const inAll = (found) => (found.piece.kind === "repeat" && found.how !== Lift.ALL ? " in all" : "");

  // A closed module: its share of all bytes, parted by what bounds its kernels.
  function closed(found, plan) {
    const { piece } = found;
    const { totals } = piece;
    const name = piece.name || Data.model.name;
    const times = piece.kind === "repeat" ? `×${piece.children.length}` : "";
    const sub = `${Figures.count(totals.launches, "kernel")} · ${Figures.bytes(totals.traffic_bytes)}${each(found) || inAll(found)}`;
    const broken = piece.broken ? `, ${Figures.count(piece.broken, "group")} ${Facts.noKernel()}` : "";
    const node = item(found, `card closed ${broken ? "illegal" : ""}`, `${Facts.nameOfPiece(piece)}, ${sub}${broken}, closed`);
    node.append(
      svg("rect", { class: "frame behind", x: 4, y: -4, width: CARD.width, height: CARD.height, rx: 5 }),
      svg("rect", { class: "frame", width: CARD.width, height: CARD.height, rx: 5 }),
      ...segments(piece, plan),
      svg("rect", { class: "outline", width: CARD.width, height: CARD.height, rx: 5 }),
      text("chevron", 10, 17, "▸"),
      text("label", 24, 17, fitted(name, CARD.width - (times ? 74 : 34), LABEL)),
      text("sub", 24, 31, fitted(sub, CARD.width - 34, SMALL)),
    );
    if (times) node.append(text("times", CARD.width - 10, 17, times, "end"));
    return node;
  }

  function segments(piece, plan) {
    let x = 0;
    return Facts.shares(piece).map(({ name, bytes }) => {
      const width = (CARD.width * bytes) / plan.total;
      const bar = svg("rect", {
        class: "segment", x, y: CARD.height - 6, width, height: 6, style: `fill: ${Colour.ofBottleneck(name)}`,
      });
      x += width;
      return bar;
    });
  }

  function container(found) {
    const { piece } = found;
    const { totals } = piece;
    const sub = `${Figures.count(totals.launches, "kernel")} · ${Figures.bytes(totals.traffic_bytes)}${each(found) || inAll(found)}`;
    const node = item(found, "container", `${Facts.nameOfPiece(piece)}, ${sub}, open`);
    if (found.parent) node.append(...heading(found, sub));
    else node.classList.add("whole");
    node.append(svg("g", { class: "links" }));
    return node;
  }

  function heading(found, sub) {
    const { piece } = found;
    const isFolded = piece.kind === "repeat" && found.how !== Lift.ALL;
    const frame = { width: found.width, height: found.height, rx: 8 };
    const parts = [svg("rect", { class: "frame", ...frame })];
    if (isFolded) {
      parts.unshift(
        svg("rect", { class: "frame behind", x: 8, y: -8, ...frame }),
        svg("rect", { class: "frame behind", x: 4, y: -4, ...frame }),
      );
    }
    parts.push(
      svg("rect", { class: "head", width: found.width, height: Layout.HEAD, rx: 8 }),
      text("chevron", 12, 21, "▾"),
    );
    let right = found.width - 12;
    if (piece.kind === "repeat") {
      parts.push(switchOf(found, isFolded, right));
      right -= 118;
    }
    const label = fitted(piece.name || Data.model.name, right - 34, LABEL);
    const words = text("label", 26, 21, label);
    const isRoom = 26 + textWidth(label, LABEL) + 8 + textWidth(sub, SMALL) < right;
    if (isRoom) words.append(svg("tspan", { class: "sub", dx: 8 }, sub));
    parts.push(words);
    return parts;
  }

  // Folds a repeat to its first copy, or shows all copies.
  function switchOf(found, isFolded, right) {
    const { piece } = found;
    const verb = (said) => svg("tspan", { class: "verb" }, said); // none on paper
    const times = `×${piece.children.length}`;
    const width = 104;
    return svg("g", { class: "switch", "data-repeat": piece.id, transform: `translate(${right - width} 7)` },
      svg("rect", { width, height: 21, rx: 10.5 }),
      text("times", width / 2, 15, isFolded ? [times, verb(" · show all")] : [verb("fold "), times], "middle"));
  }

  function port(found) {
    return svg("g", { class: "port", transform: `translate(${found.left} ${found.top})`, "aria-hidden": "true" },
      svg("rect", { width: found.width, height: found.height, rx: 13 }),
      text("sub", found.width / 2, 17, found.name, "middle"));
  }

  // Too small for what is inside: its ground shows the shares of what bounds its kernels.
  function shut(node, found, isShut) {
    if (isShut === node.classList.contains("shut")) return;
    node.classList.toggle("shut", isShut);
    if (!isShut || !found.parent) return void node.querySelector(".shares")?.remove();
    let x = 0;
    const shares = Facts.shares(found.piece).map(({ name, bytes }) => {
      const width = (found.width * bytes) / (found.piece.totals.traffic_bytes || 1);
      const part = svg("rect", { x, width, height: found.height, style: `fill: ${Colour.ofBottleneck(name)}` });
      x += width;
      return part;
    });
    node.append(svg("g", { class: "shares" }, ...shares));
  }

  // The links of a container that are near; all of them where there are not many.
  function links(node, found, widest, isNear) {
    const place = node.querySelector(".links");
    const drawn = (found.drawn ??= new Map());
    const isSeen = found.paths.length > MANY ? isNear : () => true;
    for (const path of found.paths) {
      const has = drawn.get(path);
      if (has && (has.parentNode !== place || !isSeen(path))) {
        has.remove();
        drawn.delete(path);
      }
      if (isSeen(path) && !drawn.has(path)) {
        drawn.set(path, link(path, widest));
        place.append(drawn.get(path));
      }
    }
  }

  // A link: as thick as the bytes that it carries.
  function link(path, widest) {
    const thick = 1 + ((THICKEST - 1) * path.link.bytes) / widest;
    const node = svg("g", { class: "link" },
      svg("path", { class: "hit", d: path.d }),
      svg("path", { class: "line", d: path.d, "stroke-width": thick.toFixed(2) }));
    if (path.isLabelled) node.append(text("bytes", path.middle.x + thick / 2, path.middle.y, Figures.bytes(path.link.bytes)));
    node.link = path.link;
    return node;
  }

  const text = (kind, x, y, words, anchor) =>
    svg("text", { class: kind, x, y, "text-anchor": anchor ?? null }, ...[words].flat());

  return { box, links, shut };
})();
