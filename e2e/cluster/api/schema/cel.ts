/** `x-kubernetes-validations`: compiled once per CRD version, evaluated on every write, transition rules included. */
import { Environment, type ParseResult } from '@marcbachmann/cel-js';
import { FieldError, type FieldErrorType, field } from '../errors.ts';
import { type ApiObject, canonical, equal, isObject, type Json, type JsonObject, own } from '../json.ts';
import { mentions, undefinedFields } from './cel-check.ts';
import { toLibrary } from './cel-dialect.ts';
import { registerLibrary } from './cel-library.ts';
import { optionalOf, toCel } from './cel-values.ts';
import type { Schema, ValidationRule } from './schema.ts';
import { join } from './validate.ts';

interface CompiledRule {
  readonly rule: ValidationRule;
  readonly program: ParseResult;
  readonly message: ParseResult | undefined;
  readonly transition: boolean;
}

interface Node {
  readonly schema: Schema;
  readonly rules: readonly CompiledRule[];
  readonly properties: ReadonlyMap<string, Node>;
  readonly items: Node | undefined;
  readonly additional: Node | undefined;
}

let environment: Environment | undefined;

function env(): Environment {
  environment ??= registerLibrary(
    new Environment({ enableOptionalTypes: true, homogeneousAggregateLiterals: false })
      .registerVariable('self', 'dyn')
      .registerVariable('oldSelf', 'dyn'),
  );
  return environment;
}

function compile(expression: string): ParseResult {
  const program = env().parse(toLibrary(expression));
  const checked = program.check();
  if (!checked.valid) throw checked.error ?? new Error('the expression does not type-check');
  return program;
}

/** Kubernetes' words for a text that cannot be read as what the rule wants. */
function conversion(type: string): string {
  return `type conversion error from 'string' to 'google.protobuf.${type}'`;
}

function summary(error: unknown): string {
  const text = error instanceof Error ? error.message.split('\n')[0]! : String(error);
  if (text.startsWith('Invalid duration string')) return conversion('Duration');
  return text.startsWith('Invalid timestamp') ? conversion('Timestamp') : text;
}

function compileRule(rule: ValidationRule): CompiledRule {
  const program = compile(rule.rule);
  return {
    rule,
    program,
    message: rule.messageExpression ? compile(rule.messageExpression) : undefined,
    transition: mentions(program.ast, 'oldSelf'),
  };
}

function build(schema: Schema): Node | undefined {
  const rules = (schema['x-kubernetes-validations'] ?? []).map(compileRule);
  const properties = new Map<string, Node>();
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    const node = build(property);
    if (node) properties.set(name, node);
  }
  const items = schema.items && build(schema.items);
  const additional = isObject(schema.additionalProperties)
    ? build(schema.additionalProperties as Schema)
    : undefined;
  if (rules.length === 0 && properties.size === 0 && !items && !additional) return undefined;
  return { schema, rules, properties, items, additional };
}

export interface CompiledRules {
  /** @param old the object before an update; undefined on creation */
  evaluate(object: ApiObject, old: ApiObject | undefined): FieldError[];
}

/** @throws when a rule is not valid; `checkRules` finds that first */
export function compileRules(schema: Schema): CompiledRules {
  const root = build(schema);
  return {
    evaluate(object, old) {
      const errors: FieldError[] = [];
      if (root) evaluateNode(root, object, old, '', errors, true, old !== undefined);
      return errors;
    },
  };
}

const reasons: Readonly<Record<string, FieldErrorType>> = {
  FieldValueInvalid: 'FieldValueInvalid',
  FieldValueForbidden: 'FieldValueForbidden',
  FieldValueRequired: 'FieldValueRequired',
  FieldValueDuplicate: 'FieldValueDuplicate',
};

function evaluateNode(
  node: Node,
  value: Json | undefined,
  old: Json | undefined,
  path: string,
  errors: FieldError[],
  root: boolean,
  update: boolean,
): void {
  if (value === undefined || value === null) return;
  if (node.rules.length > 0) {
    // What has not changed is not held against an update, so that rules can be tightened.
    const same = update && old !== undefined && equal(value, old);
    const self = toCel(value, node.schema, root);
    const oldSelf = old === undefined ? undefined : toCel(old, node.schema, root);
    for (const rule of node.rules) {
      if (!rule.transition && same) continue;
      evaluateRule(rule, node.schema, value, self, oldSelf, path, errors);
    }
  }
  if (isObject(value)) evaluateMembers(node, value, isObject(old) ? old : undefined, path, errors, update);
  else if (Array.isArray(value) && node.items) {
    const before = Array.isArray(old) ? old : [];
    for (const [index, item] of value.entries()) {
      evaluateNode(
        node.items,
        item,
        correlate(node.schema, item, before),
        `${path}[${index}]`,
        errors,
        false,
        update,
      );
    }
  }
}

function evaluateMembers(
  node: Node,
  value: JsonObject,
  old: JsonObject | undefined,
  path: string,
  errors: FieldError[],
  update: boolean,
): void {
  for (const [name, below] of node.properties) {
    evaluateNode(below, own(value, name), old && own(old, name), join(path, name), errors, false, update);
  }
  if (!node.additional) return;
  for (const [key, member] of Object.entries(value)) {
    if (node.schema.properties && Object.hasOwn(node.schema.properties, key)) continue;
    evaluateNode(node.additional, member, old && own(old, key), join(path, key), errors, false, update);
  }
}

/** The item of the old list with the same keys; only lists of type map have such. */
function correlate(schema: Schema, item: Json, before: readonly Json[]): Json | undefined {
  if (schema['x-kubernetes-list-type'] !== 'map' || !isObject(item)) return undefined;
  const keys = schema['x-kubernetes-list-map-keys'] ?? [];
  return before.find(
    (each) => isObject(each) && keys.every((key) => canonical(own(each, key)) === canonical(own(item, key))),
  );
}

function evaluateRule(
  compiled: CompiledRule,
  schema: Schema,
  value: Json,
  self: unknown,
  oldSelf: unknown,
  path: string,
  errors: FieldError[],
): void {
  const { rule, program, transition } = compiled;
  const optional = rule.optionalOldSelf === true;
  if (transition && !optional && oldSelf === undefined) return;
  const context = { self, oldSelf: optional ? optionalOf(oldSelf) : oldSelf };
  const where = path === '' ? '<nil>' : path;
  // Of objects and lists only the rule's words are shown.
  const shown = isObject(value) || Array.isArray(value) ? undefined : value;
  let holds: unknown;
  try {
    holds = program(context);
  } catch (error) {
    const text = rule.message?.trim() || `failed rule: ${ruleText(rule)}`;
    errors.push(
      field.invalid(
        where,
        schema.type ?? 'object',
        `${lowerFirst(summary(error))} evaluating rule: ${text.replace(/^failed rule: /, '')}`,
      ),
    );
    return;
  }
  if (holds === true) return;
  const target = rule.fieldPath
    ? `${path}${rule.fieldPath.startsWith('[') ? '' : '.'}${rule.fieldPath.replace(/^\./, '')}`.replace(
        /^\./,
        '',
      )
    : where;
  const type = reasons[rule.reason ?? ''] ?? 'FieldValueInvalid';
  errors.push(new FieldError(type, target, shown, messageOf(compiled, context)));
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

function ruleText(rule: ValidationRule): string {
  return rule.rule.trim();
}

function messageOf({ rule, message }: CompiledRule, context: { self: unknown; oldSelf: unknown }): string {
  if (message) {
    try {
      const text: unknown = message(context);
      if (typeof text === 'string' && text.trim() !== '' && !text.includes('\n')) return text.trim();
    } catch {
      // A message that cannot be made gives way to the fixed one.
    }
  }
  return rule.message?.trim() || `failed rule: ${ruleText(rule)}`;
}

/** What is wrong with the rules of a schema; CRDs with any of it are refused. */
export function checkRules(schema: Schema, path: string, root = true): FieldError[] {
  const errors: FieldError[] = [];
  for (const [index, rule] of (schema['x-kubernetes-validations'] ?? []).entries()) {
    const where = `${path}.x-kubernetes-validations[${index}]`;
    if (!rule.rule?.trim()) {
      errors.push(field.required(`${where}.rule`, 'rule is not specified'));
      continue;
    }
    errors.push(
      ...checkExpression(rule.rule, schema, root, rule.optionalOldSelf === true, `${where}.rule`, 'bool'),
    );
    if (rule.messageExpression) {
      errors.push(
        ...checkExpression(
          rule.messageExpression,
          schema,
          root,
          rule.optionalOldSelf === true,
          `${where}.messageExpression`,
          'string',
        ),
      );
    }
    if (rule.reason && !reasons[rule.reason]) {
      errors.push(field.notSupported(`${where}.reason`, rule.reason, Object.keys(reasons)));
    }
  }
  for (const [below, where] of subschemas(schema, path)) errors.push(...checkRules(below, where, false));
  return errors;
}

/** Which defaults break rules. A default is tried as it is written, before the defaults of its own fields are filled in. */
export function checkDefaults(schema: Schema, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const node = schema.default === undefined ? undefined : build(schema);
  if (node) evaluateNode(node, schema.default, undefined, `${path}.default`, errors, false, false);
  for (const [below, where] of subschemas(schema, path)) errors.push(...checkDefaults(below, where));
  return errors;
}

/** The schemas of properties, items and additional properties, with their paths in the CRD. */
function* subschemas(schema: Schema, path: string): Generator<readonly [Schema, string]> {
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    yield [property, `${path}.properties[${name}]`];
  }
  if (schema.items) yield [schema.items, `${path}.items`];
  if (isObject(schema.additionalProperties)) {
    yield [schema.additionalProperties as Schema, `${path}.additionalProperties`];
  }
}

function checkExpression(
  expression: string,
  schema: Schema,
  root: boolean,
  optionalOld: boolean,
  path: string,
  wanted: 'bool' | 'string',
): FieldError[] {
  try {
    const program = compile(expression);
    const type = program.check().type;
    if (type !== wanted && type !== 'dyn' && !type?.startsWith('dyn<')) {
      return [field.invalid(path, expression, `cel expression must evaluate to a ${wanted}`)];
    }
    const [missing] = undefinedFields(program.ast, schema, root, optionalOld);
    if (missing)
      return [field.invalid(path, expression, `compilation failed: ERROR: undefined field '${missing}'`)];
  } catch (error) {
    return [field.invalid(path, expression, `compilation failed: ERROR: ${summary(error)}`)];
  }
  return [];
}
