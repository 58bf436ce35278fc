// Draws charts from the numbers in the page, keeps a live page fresh, and asks the server for parts of pages.
// Markup comes from the server alone, which escapes every text; answers of models never become markup here.
"use strict";
(() => {
  const plots = new Map();
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // ---- charts ------------------------------------------------------------------------------------------------------
  function marked(spec) {
    return (plot) => {
      const { ctx, bbox } = plot;
      ctx.save();
      ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
      ctx.textAlign = "left";
      ctx.lineWidth = 1.5 * devicePixelRatio;
      for (const mark of spec.marks || []) {
        const x = plot.valToPos(mark.at, "x", true);
        if (x < bbox.left - 1 || x > bbox.left + bbox.width + 1) continue;
        ctx.strokeStyle = ctx.fillStyle = style(`--mark-${mark.kind}`);
        ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
        ctx.beginPath();
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
        ctx.stroke();
        ctx.fillText(mark.label, x + 3 * devicePixelRatio, bbox.top + 11 * devicePixelRatio);
      }
      if (spec.kind === "reliability") {
        ctx.strokeStyle = style("--dim");
        ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
        ctx.beginPath();
        ctx.moveTo(plot.valToPos(0, "x", true), plot.valToPos(0, "y", true));
        ctx.lineTo(plot.valToPos(1, "x", true), plot.valToPos(1, "y", true));
        ctx.stroke();
      }
      ctx.restore();
    };
  }

  function options(spec, box) {
    const axis = { stroke: () => style("--dim"), grid: { stroke: () => style("--grid"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    // Of values so small that they would all be shown as 0.
    const tiny = (values) => Math.max(...values.map(Math.abs)) < 0.002;
    const scaled = (plot, values) => values.map((value) => (tiny(values) && value !== 0 ? Number(value.toPrecision(2)).toExponential() : uPlot.fmtNum(value)));
    const whole = (plot, values) => values.map((value) => (Number.isInteger(value) ? value : ""));
    const series = { stroke: () => style("--curve"), width: 2, points: { show: spec.x.length < 25 } };
    const scales = { x: { time: false } };
    if (spec.kind === "bars") {
      Object.assign(series, { paths: uPlot.paths.bars({ size: [0.95, 100] }), fill: () => style("--curve"), points: { show: false } });
      scales.y = { range: (plot, low, high) => [0, high * 1.05 || 1] };
    }
    if (spec.kind === "reliability") {
      scales.x.range = () => [0, 1.02];
      scales.y = { range: () => [0, 1.02] };
      series.points = { show: true, size: 7 };
    }
    const lines = spec.kind === "line";
    if (lines) scales.y = { range: (plot, low, high) => (low === high ? [low - 1, high + 1] : uPlot.rangeNum(low, high, 0.08, true)) };
    return {
      width: box.clientWidth, height: box.clientHeight,
      scales, series: [{}, series], legend: { show: false },
      cursor: lines ? { sync: { key: "training" }, y: false } : { show: false },
      axes: [{ ...axis, size: 26, values: lines ? whole : undefined }, { ...axis, size: 52, values: scaled }],
      padding: [8, 8, 0, 0],
      hooks: { draw: [marked(spec)] },
    };
  }

  function draw(figure) {
    const known = plots.get(figure.id), data = figure.dataset.chart;
    if (known && known.figure === figure && known.data === data) return;
    const spec = JSON.parse(data);
    if (known && known.figure === figure) {
      known.data = data;
      known.spec.marks = spec.marks;
      known.plot.setData([spec.x, spec.y]);
      return;
    }
    if (known) known.plot.destroy();
    const box = figure.querySelector(".plot");
    const plot = new uPlot(options(spec, box), [spec.x, spec.y], box);
    plots.set(figure.id, { figure, data, spec, plot });
    new ResizeObserver(() => plot.setSize({ width: box.clientWidth, height: box.clientHeight })).observe(box);
  }

  const drawAll = (root) => { for (const figure of root.querySelectorAll("figure[data-chart]")) draw(figure); };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { for (const { plot } of plots.values()) plot.redraw(); });

  // ---- parts of pages ----------------------------------------------------------------------------------------------
  async function part(address, body) {
    const how = { headers: { "X-Part": "1" } };
    if (body !== undefined) Object.assign(how, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
    const answer = await fetch(address, how);
    const text = await answer.text();
    const type = answer.headers.get("Content-Type") || "";
    if (type.startsWith("text/html")) return { ok: answer.ok, nodes: new DOMParser().parseFromString(text, "text/html").body.childNodes };
    if (type.startsWith("application/json")) return { ok: answer.ok, values: JSON.parse(text) };
    const said = document.createElement("p");
    said.className = "error";
    said.textContent = text || `the server answered ${answer.status}`;
    return { ok: false, nodes: [said] };
  }

  function failed(error) {
    const said = document.createElement("p");
    said.className = "error";
    said.setAttribute("role", "alert");
    said.textContent = `The server does not answer (${error.message}); is salmon view still running?`;
    return { ok: false, nodes: [said] };
  }

  async function into(element, address, body) {
    element.classList.add("waiting");
    element.setAttribute("aria-busy", "true");
    const got = await part(address, body).catch(failed);
    element.replaceChildren(...got.nodes);
    element.classList.remove("waiting");
    element.removeAttribute("aria-busy");
    drawAll(element);
    return got;
  }

  // ---- a live page -------------------------------------------------------------------------------------------------
  async function refresh() {
    const answer = await fetch(location.href);
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const own of document.querySelectorAll("[data-live]")) {
      const other = fresh.getElementById(own.id);
      if (!other || own.contains(document.activeElement)) continue;
      if (own.dataset.chart) { own.dataset.chart = other.dataset.chart || own.dataset.chart; continue; }
      if (own.tagName === "DETAILS") other.open = own.open;
      if (own.outerHTML !== other.outerHTML) own.replaceWith(other);
    }
    // Curves that have only now begun.
    const here = document.getElementById("curves"), there = fresh.getElementById("curves");
    const count = (root) => root.querySelectorAll("figure[data-chart]").length;
    if (here && there && count(here) !== count(there)) here.replaceWith(there);
    drawAll(document);
    if (!fresh.body.dataset.watch && !fresh.body.hasAttribute("data-watch")) document.body.removeAttribute("data-watch");
  }

  function watch() {
    const again = async () => {
      if (!document.body.hasAttribute("data-watch")) return;
      if (!document.hidden) await refresh().catch(() => {});
      setTimeout(again, 2000);
    };
    setTimeout(again, 2000);
  }

  // ---- rollouts ----------------------------------------------------------------------------------------------------
  function filters() {
    const form = document.getElementById("filters"), rows = document.getElementById("rows");
    if (!form || !rows) return;
    let number = 0, busy = false, again = false;
    const show = async (address, keep) => {
      const own = ++number, started = performance.now();
      const got = await part(address).catch(failed);
      if (own !== number) return;  // another was asked for since
      rows.replaceChildren(...got.nodes);
      drawAll(rows);
      rows.dataset.took = Math.round(performance.now() - started);
      if (keep) history.replaceState(null, "", address);
    };
    const address = () => {
      const values = [...new FormData(form)].filter(([, value]) => value !== "");
      return `${form.getAttribute("action")}?${new URLSearchParams(values)}`;
    };
    // At once, and while somebody types no more often than the server answers; the last input is always answered.
    const soon = async () => {
      again = true;
      if (busy) return;
      busy = true;
      try {
        while (again) { again = false; await show(address(), true); }
      } finally { busy = false; }
    };
    form.addEventListener("submit", (event) => { event.preventDefault(); soon(); });
    form.addEventListener("input", soon);
    rows.addEventListener("click", (event) => {
      const link = event.target.closest("a[data-page][href]");
      if (!link) return;
      event.preventDefault();
      show(link.getAttribute("href"), true).then(() => rows.scrollIntoView({ block: "start" }));
    });
    if (rows.querySelector("[data-load]")) show(location.pathname + location.search, false).then(() => {
      if (!form.querySelector("[name=category] option:nth-child(2)")) refreshForm(form);
    });
  }

  async function refreshForm(form) {
    const fresh = new DOMParser().parseFromString(await (await fetch(location.href)).text(), "text/html");
    for (const name of ["sort", "category", "principle"]) {
      const own = form.elements[name], other = fresh.querySelector(`#filters [name=${name}]`);
      if (own && other) { const value = own.value; own.replaceChildren(...other.childNodes); own.value = value; }
    }
  }

  // ---- steering ----------------------------------------------------------------------------------------------------
  function values(form) {
    const found = {};
    for (const [name, value] of new FormData(form)) if (value !== "") found[name] = value;
    found.negate = Boolean(found.negate);
    return found;
  }

  function steering() {
    const form = document.getElementById("change"), shown = document.getElementById("preview");
    document.addEventListener("click", async (event) => {
      const undo = event.target.closest("[data-undo]"), use = event.target.closest("[data-use]");
      if (undo) {
        undo.disabled = true;
        const place = shown || document.getElementById("record");
        const got = await into(place, undo.dataset.steer, { what: "undo", undoes: undo.dataset.undo });
        const button = place.querySelector("[data-apply]");
        if (got.ok && button) { button.asked = { what: "undo", undoes: undo.dataset.undo }; button.focus(); }
        undo.disabled = false;
      } else if (use && form) {
        for (const name of ["what", "text", "name", "set", "value"]) form.elements[name].value = use.dataset[name] || "";
        form.requestSubmit();
        form.scrollIntoView({ block: "start" });
      }
    });
    if (!form) return;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const asked = values(form);
      const got = await into(shown, form.dataset.steer, asked);
      const button = shown.querySelector("[data-apply]");
      if (got.ok && button) { button.asked = asked; button.focus(); }
    });
    shown.addEventListener("click", async (event) => {
      const button = event.target.closest("[data-apply]");
      if (!button || !button.asked) return;
      button.disabled = true;
      await into(shown, form.dataset.steer, { ...button.asked, apply: true });
      await refresh().catch(() => {});
    });
  }

  // ---- the playground ----------------------------------------------------------------------------------------------
  function playground() {
    const form = document.getElementById("playground");
    if (!form) return;
    const score = document.getElementById("score"), read = document.getElementById("read"), sliders = document.getElementById("sliders");
    const home = form.dataset.try;
    let timer, busy = false, again = false;
    const principles = () => [...sliders.querySelectorAll("fieldset.slider")].map((each) => {
      const negate = each.querySelector("[name=negate]");
      const negated = Boolean(negate && negate.checked);
      return { name: each.dataset.name, text: negated ? each.dataset.negated : each.dataset.text, negated, weight: Number(each.querySelector("[name=weight]").value) };
    });
    const asked = () => ({ prompt: form.elements.prompt.value, completion: form.elements.completion.value, principles: principles() });
    const now = async () => {
      if (!form.elements.prompt.value.trim()) return;
      if (busy) { again = true; return; }
      busy = true;
      if (!score.querySelector(".big")) score.firstElementChild.textContent = "Opening the reward model; that takes a while the first time…";
      await into(score, `${home}/score`, asked());
      busy = false;
      if (again) { again = false; now(); }
    };
    const later = () => { clearTimeout(timer); timer = setTimeout(now, 300); };
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", (event) => {
      if (event.target.name === "weight") event.target.parentElement.querySelector("output").value = Number(event.target.value) || "off";
      if (!["new", "temperature"].includes(event.target.name)) later();
    });
    form.addEventListener("click", async (event) => {
      const button = event.target.closest("[data-write]");
      if (!button) return;
      button.disabled = true;
      const got = await part(`${home}/write`, { prompt: form.elements.prompt.value, by: button.dataset.write, temperature: form.elements.temperature.value }).catch(failed);
      button.disabled = false;
      if (got.values) { form.elements.completion.value = got.values.text; now(); } else score.replaceChildren(...got.nodes);
    });
    document.getElementById("add").addEventListener("click", () => {
      const text = form.elements.new.value.trim();
      if (!text) return;
      const own = document.createElement("fieldset"), legend = document.createElement("legend"), label = document.createElement("label");
      const unseen = document.createElement("span"), range = document.createElement("input"), output = document.createElement("output");
      own.className = "slider";
      Object.assign(own.dataset, { name: "", text });
      legend.textContent = text;
      unseen.className = "unseen";
      unseen.textContent = `weight of ${text}`;
      Object.assign(range, { type: "range", name: "weight", min: "0", max: "4", step: "0.25", value: "1" });
      output.value = "1";
      label.append(unseen, range, output);
      own.append(legend, label);
      sliders.prepend(own);
      form.elements.new.value = "";
      now();
    });
    form.elements.new.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); document.getElementById("add").click(); } });
    document.getElementById("show-read").addEventListener("click", () => into(read, `${home}/read`, asked()));
    into(sliders, sliders.dataset.fetchNow).then(() => { if (form.elements.completion.value) now(); });
  }

  // ---- all of it ---------------------------------------------------------------------------------------------------
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-fetch], [data-propose]");
    if (!button) return;
    let address = button.dataset.fetch || button.dataset.propose;
    const sets = button.closest("article") && button.closest("article").querySelector("[name=sets]");
    if (button.dataset.propose && sets) address += `&${new URLSearchParams({ sets: sets.value })}`;
    button.disabled = true;
    into(document.getElementById(button.dataset.into), address);
  });
  drawAll(document);
  filters();
  steering();
  playground();
  if (document.body.hasAttribute("data-watch")) watch();
  document.documentElement.dataset.ready = "1";
})();
