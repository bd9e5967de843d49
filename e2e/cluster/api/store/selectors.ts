/** Label and field selectors, in the query-string syntax and as LabelSelector objects. */
import { badRequest } from '../errors.ts';
import { type ApiObject, asObjects, asString, at, type Json, type JsonObject } from '../json.ts';

export type Matcher = (object: ApiObject) => boolean;
export type LabelMatcher = (labels: { readonly [key: string]: string }) => boolean;

type Operator = 'in' | 'notin' | '=' | '!=' | 'exists' | '!' | 'gt' | 'lt';
interface Requirement {
  readonly key: string;
  readonly operator: Operator;
  readonly values: readonly string[];
}

function holds({ key, operator, values }: Requirement, labels: { readonly [key: string]: string }): boolean {
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case 'in':
    case '=':
      return value !== undefined && values.includes(value);
    case 'notin':
    case '!=':
      return value === undefined || !values.includes(value);
    case 'exists':
      return value !== undefined;
    case '!':
      return value === undefined;
    case 'gt':
      return value !== undefined && Number(value) > Number(values[0]);
    case 'lt':
      return value !== undefined && Number(value) < Number(values[0]);
  }
}

/** Splits at commas that are outside parentheses. */
function splitTerms(text: string): string[] {
  const terms: string[] = [];
  let depth = 0;
  let start = 0;
  for (let index = 0; index <= text.length; index += 1) {
    const letter = text[index];
    if (letter === '(') depth += 1;
    if (letter === ')') depth -= 1;
    if (letter === undefined || (letter === ',' && depth === 0)) {
      terms.push(text.slice(start, index).trim());
      start = index + 1;
    }
  }
  return terms.filter((term) => term !== '');
}

const setTerm = /^([^\s!=<>()]+)\s+(in|notin)\s*\(([^)]*)\)$/;
const equalityTerm = /^([^\s!=<>()]+)\s*(==|=|!=|>|<)\s*([^\s!=<>()]*)$/;
const existsTerm = /^(!?)\s*([^\s!=<>()]+)$/;

function parseTerm(term: string): Requirement {
  const set = setTerm.exec(term);
  if (set) {
    const values = set[3]!.split(',').map((value) => value.trim());
    return { key: set[1]!, operator: set[2] as 'in' | 'notin', values };
  }
  const equality = equalityTerm.exec(term);
  if (equality) {
    const operators: Record<string, Operator> = { '==': '=', '=': '=', '!=': '!=', '>': 'gt', '<': 'lt' };
    return { key: equality[1]!, operator: operators[equality[2]!]!, values: [equality[3]!] };
  }
  const exists = existsTerm.exec(term);
  if (exists) return { key: exists[2]!, operator: exists[1] ? '!' : 'exists', values: [] };
  throw badRequest(`unable to parse requirement: ${term}`);
}

/** `a=b,c in (d,e),!f` */
export function parseLabelSelector(text: string): LabelMatcher {
  const requirements = splitTerms(text).map(parseTerm);
  return (labels) => requirements.every((requirement) => holds(requirement, labels));
}

/** A `LabelSelector` object; a missing one matches nothing, an empty one everything. */
export function labelSelector(selector: Json | undefined): LabelMatcher {
  if (selector === undefined || selector === null) return () => false;
  const requirements: Requirement[] = [];
  for (const [key, value] of Object.entries((at(selector, 'matchLabels') ?? {}) as JsonObject)) {
    requirements.push({ key, operator: '=', values: [asString(value)] });
  }
  const operators: Record<string, Operator> = {
    In: 'in',
    NotIn: 'notin',
    Exists: 'exists',
    DoesNotExist: '!',
  };
  for (const expression of asObjects(at(selector, 'matchExpressions'))) {
    const operator = operators[asString(expression['operator'])];
    if (!operator) continue;
    const values = ((expression['values'] ?? []) as Json[]).map(String);
    requirements.push({ key: asString(expression['key']), operator, values });
  }
  return (labels) => requirements.every((requirement) => holds(requirement, labels));
}

export type SelectableFields = (object: ApiObject) => { readonly [field: string]: string };

/** `metadata.name=x,status.phase!=Running`; only the fields that the kind offers may be named. */
export function parseFieldSelector(text: string, fields: SelectableFields): Matcher {
  const requirements = splitTerms(text).map((term) => {
    const match = /^([^=!]+?)\s*(==|=|!=)\s*(.*)$/s.exec(term);
    if (!match) throw badRequest(`invalid field selector: ${term}`);
    return { key: match[1]!, negate: match[2] === '!=', value: match[3]! };
  });
  const known = fields({ apiVersion: '', kind: '', metadata: {} });
  for (const { key } of requirements) {
    if (!Object.hasOwn(known, key)) throw badRequest(`field label not supported: ${key}`);
  }
  return (object) => {
    const values = fields(object);
    return requirements.every(({ key, negate, value }) => (values[key] === value) !== negate);
  };
}

export function matcher(options: {
  label?: string | undefined;
  field?: string | undefined;
  fields: SelectableFields;
}): Matcher {
  const label = options.label ? parseLabelSelector(options.label) : undefined;
  const field = options.field ? parseFieldSelector(options.field, options.fields) : undefined;
  return (object) => (!label || label(object.metadata.labels ?? {})) && (!field || field(object));
}
