'use strict';
// A curve over time: lines with their names at the end, moves of a limit, what happened to the run.

const WIDE = 620; // from this width on lines are labelled at their ends, else by the legend below

function peak(values) {
  let most = 0;
  for (const value of values || []) if (value !== null && value > most) most = value;
  return most;
}

function middles(ends, by) {
  return ends.map((end, i) => (end + (i ? ends[i - 1] : 0)) / 2 / by);
}

// A moving mean over some 3 % of the curve: what comes in bursts is hard to read otherwise.
function smooth(values) {
  const half = Math.max(1, Math.round(values.length * 0.015));
  return values.map((own, i) => {
    if (own === null) return null;
    let sum = 0;
    let known = 0;
    for (let j = Math.max(0, i - half); j <= Math.min(values.length - 1, i + half); j++) {
      if (values[j] !== null) { sum += values[j]; known += 1; }
    }
    return sum / known;
  });
}

function last(values) {
  for (let i = values.length - 1; i >= 0; i--) if (values[i] !== null) return values[i];
  return null;
}

// Names at the ends of lines, pushed apart where they would lie on each other. `y` in 0..1 of the chart's height.
function endLabels(labels, pixels) {
  const gap = 14 / pixels;
  const sorted = labels.filter((one) => one.y !== null).sort((a, b) => a.y - b.y);
  sorted.forEach((one, i) => { one.at = Math.min(1, Math.max(i ? sorted[i - 1].at + gap : 0, one.y)); });
  for (let i = sorted.length - 1, roof = 1; i >= 0; i--) {
    sorted[i].at = Math.min(sorted[i].at, roof);
    roof = sorted[i].at - gap;
  }
  return sorted.map((one) => ({
    xref: 'paper', yref: 'paper', x: 1, y: one.at, xanchor: 'left', yanchor: 'middle', xshift: 6, showarrow: false,
    text: plain(one.name, 18), font: { size: 12, color: readable(one.colour) },
  }));
}

// Points without a neighbour, which no line would show.
function lonely(values) {
  const known = (i) => values[i] !== null && values[i] !== undefined;
  return values.map((value, i) => (known(i) && !known(i - 1) && !known(i + 1) ? value : null));
}

// Where stacked lines are known without a break, as places from and to: an area is drawn per stretch, as one would close the gaps.
function stretches(lines) {
  const known = (i) => lines.some((line) => line.y[i] !== null);
  const found = [];
  for (let i = 0; lines.length && i < lines[0].y.length; i++) {
    if (!known(i)) continue;
    if (i && known(i - 1)) found[found.length - 1][1] = i + 1;
    else found.push([i, i + 1]);
  }
  return found;
}

// A stretch of a line; a point alone is as wide as its interval.
function stretch(ends, values, [from, to], by) {
  if (to - from > 1) return { x: middles(ends, by).slice(from, to), y: values.slice(from, to) };
  return { x: [(from ? ends[from - 1] : 0) / by, ends[from] / by], y: [values[from], values[from]] };
}

// What happened to the run as a whole, as lines through every timeline.
function eventLines(events, by) {
  return events.filter((one) => one.line).map((one) => ({
    type: 'line', xref: 'x', yref: 'paper', x0: one.t / by, x1: one.t / by, y0: 0, y1: 1,
    line: { color: variable('--faint'), width: 1, dash: 'dot' },
  }));
}

function legend(lines) {
  return el('div', { class: 'legend' }, lines.map((line) =>
    el('span', {}, swatch(line.css || COLOURS[line.measure], line.dash), line.name)));
}

function swatch(cssName, dash) {
  const mark = el('i', { class: 'swatch' });
  const [ink, gap] = dash === 'dash' ? [5, 3] : dash === 'dot' ? [2, 2] : [1, 0];
  mark.style.background = `repeating-linear-gradient(90deg, var(${cssName}) 0 ${ink}px, transparent ${ink}px ${ink + gap}px)`;
  return mark;
}

function card(heading, explanation, ...parts) {
  for (const part of parts) {
    if (part && part.classList && part.classList.contains('chart')) {
      part.setAttribute('role', 'img');
      part.setAttribute('aria-label', `${heading}: ${explanation}`);
    }
  }
  return el('section', { class: 'card' }, el('div', { class: 'top' }, el('h3', {}, heading), el('span', { class: 'say' }, explanation)), parts);
}

// A timeline. `lines`: {name, y, measure, css?, dash?, stack?, step?, unit?}. `more.marks`: decisions. `more.top`: upper end, or 'share'. `more.missing`: lines without a value are named, with what their `absent` says.
function timeline(heading, explanation, span, lines, more) {
  const shown = lines.filter((line) => line.y && line.y.some((value) => value !== null));
  if (!shown.length) return null;
  const share = more.top === 'share';
  const top = share ? 1 : more.top || peak(shown.flatMap((line) => line.raw || line.y)) * 1.08 || 1;
  const called = (line) => { // a line that ends beyond the chart cannot be seen there
    const value = last(line.y);
    return !line.stack && value > top ? `${line.name} ${compact(value)} ↑` : line.name;
  };
  const div = chart(more.height || 190, (width) => {
    const unit = timeUnit(span);
    const direct = width >= WIDE;
    const paint = (line) => (line.css ? variable(line.css) : colour(line.measure));
    const faint = shown.filter((line) => line.raw).map((line) => ({
      type: 'scatter', mode: 'lines', x: middles(line.t || more.t, unit.by), y: line.raw, line: { color: faded(paint(line), 0.35), width: 1 }, hoverinfo: 'skip',
    }));
    const areas = stretches(shown.filter((line) => line.stack));
    const pieces = (line) => (line.stack ? areas.map((part, i) => ({ ...stretch(line.t || more.t, line.y, part, unit.by), group: `all ${i}` })) : [{ x: middles(line.t || more.t, unit.by), y: line.y }]);
    const traces = shown.flatMap((line) => pieces(line).map((piece) => ({
      type: 'scatter', mode: 'lines', name: plain(line.name, 40), x: piece.x, y: piece.y,
      line: { color: paint(line), width: line.stack ? 0.5 : line.width || 1.8, dash: line.dash || 'solid', shape: line.step ? 'hv' : 'linear' },
      stackgroup: piece.group, stackgaps: line.stack ? 'infer zero' : undefined,
      fillcolor: line.stack ? faded(paint(line), line.measure === 'free' ? 0.8 : 0.85) : undefined,
      text: share ? undefined : piece.y.map(compact), hovertemplate: share ? '%{y:.1%}' : '%{text}' + (more.unit || ''), connectgaps: false,
    })));
    const points = shown.filter((line) => !line.stack).map((line) => ({ line, y: lonely(line.y) })).filter((one) => one.y.some((value) => value !== null)).map(({ line, y }) => ({
      type: 'scatter', mode: 'markers', x: middles(line.t || more.t, unit.by), y, marker: { color: paint(line), size: 5 }, hoverinfo: 'skip',
    }));
    if (more.marks && more.marks.length) traces.push(...markTraces(more.marks, more.value, top, unit.by, span));
    const height = more.height || 190;
    let floor = 0;
    const labels = shown.map((line) => {
      const value = last(line.y);
      if (line.stack) floor += value || 0;
      const y = line.stack ? floor - (value || 0) / 2 : value;
      const text = line.stack && COLOURS[line.measure] !== '--blue' ? variable('--soft') : paint(line);
      return { name: called(line), y: value === null ? null : Math.min(1, y / top), colour: text };
    });
    return {
      traces: [...faint, ...points, ...traces], direct, by: unit.by,
      layout: {
        margin: { l: 56, r: direct ? 118 : 16, t: 8, b: 26 }, hovermode: 'x unified',
        xaxis: timeAxis(span, width, { hoverformat: '.4~g' }),
        yaxis: axis({ range: [0, top], tickformat: share ? '.0%' : countFormat(top), nticks: 5, title: title(more.axis || (share ? 'share' : '')) }),
        shapes: eventLines(more.events || [], unit.by),
        annotations: direct ? endLabels(labels, height - 34) : [],
      },
    };
  }, { group: 'time' });
  const missing = more.missing ? lines.filter((line) => !shown.includes(line)).map((line) => ({ ...line, name: `${line.name}: ${line.absent}` })) : [];
  return card(heading, explanation, div, legend([...shown.map((line) => ({ ...line, name: called(line) })), ...missing]));
}

// Moves of a limit: up and down, with the reason at the pointer.
function markTraces(marks, value, top, by, span) {
  return [true, false].map((up) => {
    const some = marks.filter((mark) => mark.up === up && mark.t <= span && (mark[value] === null || mark[value] <= top));
    return {
      type: 'scatter', mode: 'markers', name: up ? 'raised' : 'lowered', x: some.map((mark) => mark.t / by),
      y: some.map((mark) => (mark[value] === null ? top * 0.98 : mark[value])),
      text: some.map((mark) => plain(`${mark.reason || 'no reason given'}: ${limits(mark)}` + (mark.moves > 1 ? ` (the greatest of ${mark.moves} moves)` : ''))),
      hovertemplate: '%{text}', cliponaxis: false,
      marker: { symbol: up ? 'triangle-up' : 'triangle-down', size: 8, color: up ? variable('--card') : colour('limit'), line: { color: colour('limit'), width: 1.3 } },
    };
  });
}

function limits(mark) {
  const parts = [];
  if (mark.agents !== null) parts.push(many(mark.agents, 'agent'));
  if (mark.tokens !== null) parts.push(compact(mark.tokens) + ' tokens');
  if (mark.requests !== null) parts.push(many(mark.requests, 'request'));
  return parts.join(', ') || 'no limit';
}
