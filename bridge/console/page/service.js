// A service with a form to try it.

import {call} from './api.js';
import {h} from './dom.js';
import {millis} from './format.js';
import {badge} from './states.js';

const fieldsOf = (s) => Object.entries(s.Inputs?.fieldDefinitions || {});

// signature tells whether a service is declared as before.
export const signature = (s) => JSON.stringify([s.description, fieldsOf(s), s.Outputs?.baseType]);

export function serviceCard(page, thing, name, s, allowed) {
  const fields = fieldsOf(s);
  const output = s.Outputs?.baseType || 'NOTHING';
  const takes = fields.map(([n, f]) => `${n} ${f.baseType}${f.aspects?.isRequired ? '' : '?'}`).join(', ');
  const head = h('summary', {}, h('b', {}, name), h('span', {class: 'dim'}, `(${takes}) → ${output}`));
  const text = s.description ? h('p', {}, s.description) : null;
  if (!allowed) {
    return h('details', {class: 'card service'}, head, text, h('p', {class: 'dim'}, 'To try services here, set ', h('code', {}, 'console.allow_calls: true'), ' in the configuration.'));
  }
  const inputs = fields.map(([n, f], i) => new Input(`in-${name}-${i}`, n, f));
  const button = h('button', {type: 'submit', class: 'first'}, 'Call');
  const answer = h('div', {class: 'answer', role: 'status'});
  const form = h('form', {class: 'call'}, inputs.map((i) => i.el), button, answer);
  form.addEventListener('submit', async (e) => {
    e.preventDefault();
    let body;
    try {
      body = '{' + inputs.map((i) => i.json()).filter(Boolean).join(',') + '}';
    } catch (fault) {
      answer.replaceChildren(badge('not called', 'warn'), ' ', fault.message);
      fault.input?.focus();
      return;
    }
    button.disabled = true;
    answer.replaceChildren(badge('called', 'info'), ' The device has not answered yet.');
    const began = performance.now();
    const took = () => h('span', {class: 'dim'}, ' ', millis(performance.now() - began));
    try {
      const {result} = await call(thing, name, body, page.signal);
      answer.replaceChildren(badge('done', 'good'), took(), result == null ? ' without a result' : h('pre', {}, JSON.stringify(result, null, 2)));
    } catch (fault) {
      answer.replaceChildren(badge(fault.status ? 'failed ' + fault.status : 'failed', 'bad'), took(), ' ', fault.status ? fault.message : 'The bridge does not answer.');
    }
    button.disabled = false;
  });
  return h('details', {class: 'card service', 'data-service': name}, head, text, form);
}

class InputError extends Error {}

const hints = {DATETIME: 'local time', JSON: 'any JSON', INFOTABLE: 'a list of objects: [{"a": 1}]', LOCATION: '{"latitude": 0, "longitude": 0}', BLOB: 'base64', IMAGE: 'base64'};

// Input is a form's field that gives JSON.
class Input {
  constructor(id, name, f) {
    Object.assign(this, {name, type: f.baseType, required: !!f.aspects?.isRequired});
    this.field = this.make(id, f);
    this.el = h('p', {class: 'input'}, h('label', {for: id}, name, h('span', {class: 'dim'}, ` ${f.baseType}${this.required ? ', required' : ''}`)), this.field,
      f.description ? h('span', {class: 'dim small'}, f.description) : null);
  }

  make(id, f) {
    const common = {id, required: this.required, placeholder: hints[f.baseType] || false};
    switch (f.baseType) {
      case 'BOOLEAN':
        return h('select', {id, required: this.required}, h('option', {value: ''}, '–'), h('option', {value: 'true'}, 'true'), h('option', {value: 'false'}, 'false'));
      case 'NUMBER': return h('input', {...common, type: 'text', inputmode: 'decimal'});
      case 'INTEGER':
      case 'LONG': return h('input', {...common, type: 'text', inputmode: 'numeric'});
      case 'DATETIME': return h('input', {...common, type: 'datetime-local', step: '0.001'});
      case 'JSON':
      case 'INFOTABLE':
      case 'LOCATION':
      case 'TEXT':
      case 'HTML':
      case 'XML': return h('textarea', {...common, rows: 3, spellcheck: 'false'});
    }
    return h('input', {...common, type: 'text', spellcheck: 'false', autocapitalize: 'none', autocomplete: 'off'});
  }

  // json gives the member of the object of inputs, '' when it is left out.
  json() {
    const text = this.field.value;
    if (text.trim() === '') return '';
    return JSON.stringify(this.name) + ':' + this.value(text);
  }

  value(text) {
    switch (this.type) {
      case 'BOOLEAN': return text;
      case 'NUMBER':
        if (!/^\s*-?\d+(\.\d+)?([eE][+-]?\d+)?\s*$/.test(text)) throw this.wrong('a number is wanted, such as 2.5');
        return text.trim().replace(/^(-?)0+(?=\d)/, '$1');
      case 'INTEGER':
      case 'LONG': // as it was typed: such a number may be too large for JavaScript
        if (!/^\s*-?\d+\s*$/.test(text)) throw this.wrong('a whole number is wanted');
        return text.trim().replace(/^(-?)0+(?=\d)/, '$1');
      case 'DATETIME': {
        const d = new Date(text);
        if (Number.isNaN(d.getTime())) throw this.wrong('a time is wanted');
        return JSON.stringify(d.toISOString());
      }
      case 'JSON':
      case 'INFOTABLE':
      case 'LOCATION':
        try {
          JSON.parse(text);
        } catch (e) {
          throw this.wrong('JSON is wanted: ' + e.message);
        }
        return text;
    }
    return JSON.stringify(text);
  }

  wrong(text) {
    const e = new InputError(`${this.name}: ${text}`);
    e.input = this.field;
    return e;
  }
}
