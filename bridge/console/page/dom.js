// Makes and changes elements. Text only ever becomes text: nothing here parses
// markup, and the page's policy (trusted types) forbids it anyway.

const SVG = 'http://www.w3.org/2000/svg';

// h makes an element: h('a', {href: '#/', class: 'x'}, 'text', child, …). A key
// that begins with "on" is a listener; false and null leave an attribute away, but
// of aria-… only null does.
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

// svg is h for SVG.
export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(el, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith('on')) el.addEventListener(name.slice(2), value);
    else if (name.startsWith('aria-') && typeof value === 'boolean') el.setAttribute(name, String(value));
    else if (value !== false && value != null) el.setAttribute(name, value === true ? '' : String(value));
  }
  for (const child of children.flat(3)) {
    if (child == null || child === false) continue;
    el.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return el;
}

// show makes the children of el equal to nodes and keeps what is equal already,
// so that focus, selection, scrolling and opened details stay. Listeners of nodes
// are not taken over: who uses show listens on el.
export function show(el, ...nodes) {
  const next = document.createElement(el.tagName);
  fill(next, {}, nodes);
  morphChildren(el, next);
}

function morphChildren(old, next) {
  const keyed = new Map();
  for (const child of old.children) if (child.dataset?.key) keyed.set(child.dataset.key, child);
  let at = old.firstChild;
  for (const want of [...next.childNodes]) {
    let have = at;
    const key = want.dataset?.key;
    if (key) have = keyed.get(key) || null;
    else if (have?.dataset?.key) have = null;
    if (!have || !alike(have, want)) {
      old.insertBefore(want, at);
      continue;
    }
    if (have === at) at = at.nextSibling;
    else old.insertBefore(have, at);
    morph(have, want);
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName;

function morph(old, next) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== next.nodeValue) old.nodeValue = next.nodeValue;
    return;
  }
  const user = old.nodeName === 'DETAILS' ? 'open' : ''; // the user's, not ours
  for (const a of [...old.attributes]) if (a.name !== user && !next.hasAttribute(a.name)) old.removeAttribute(a.name);
  for (const a of next.attributes) if (a.name !== user && old.getAttribute(a.name) !== a.value) old.setAttribute(a.name, a.value);
  morphChildren(old, next);
}
