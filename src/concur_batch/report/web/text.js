'use strict';
// Texts, numbers and elements. Everything becomes a text node: no string is ever read as markup.

// As `concur results --open` shows it (results/visible.py): controls, and what turns the order of text, as their escapes.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029]|\p{Surrogate}/gu;

function visible(text) {
  return String(text).replace(/\r\n/g, '\n').replace(HIDDEN, (sign) => {
    const code = sign.charCodeAt(0);
    return sign === '\r' ? '\\r' : code < 256 ? '\\x' + code.toString(16).padStart(2, '0') : '\\u' + code.toString(16).padStart(4, '0');
  });
}

function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === 'onclick') node.addEventListener('click', value);
    else node.setAttribute(name, value === true ? '' : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined) node.append(child instanceof Node ? child : document.createTextNode(visible(child)));
  }
  return node;
}

// Plotly reads a little markup in labels: what comes from outside is shown as it stands.
function plain(text, most = 160) {
  let line = visible(String(text).replace(/\s+/g, ' '));
  if (line.length > most) line = line.slice(0, most - 1) + '…';
  return line.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
}

const grouped = new Intl.NumberFormat('en-US');

function count(value) {
  return value === null || value === undefined ? '–' : grouped.format(Math.round(value));
}

function number(value) {
  if (value === null || value === undefined) return '–';
  if (Math.abs(value) >= 100) return grouped.format(Math.round(value));
  return String(Number(value.toPrecision(3)));
}

function compact(value) {
  if (value === null || value === undefined) return '–';
  for (const [size, sign] of [[1e9, 'G'], [1e6, 'M'], [1e4, 'k']]) {
    if (Math.abs(value) >= size * 0.9995) {
      const scale = sign === 'k' ? 1e3 : size;
      return Number((value / scale).toPrecision(3)) + ' ' + sign;
    }
  }
  return number(value);
}

function percent(share, digits = 1) {
  return share === null || share === undefined ? '–' : (100 * share).toFixed(digits) + ' %';
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return '–';
  if (seconds === 0) return '0 s';
  if (seconds < 0.001) return '< 1 ms';
  if (seconds < 0.0995) return Number((seconds * 1000).toPrecision(2)) + ' ms';
  if (seconds < 9.995) return Number(seconds.toPrecision(3)) + ' s';
  if (seconds < 59.95) return seconds.toFixed(1) + ' s';
  const whole = Math.round(seconds);
  const pad = (n) => String(n).padStart(2, '0');
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${pad(whole % 60)} s`;
  const minutes = Math.round(whole / 60);
  if (minutes < 1440) return `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} min`;
  const hours = Math.round(minutes / 60);
  return `${grouped.format(Math.floor(hours / 24))} d ${pad(hours % 24)} h`;
}

function many(n, one, more) {
  return `${count(n)} ${n === 1 ? one : more || one + 's'}`;
}

function say(text) {
  return el('p', { class: 'section-say' }, text);
}
