/**
 * Sets of field paths, as `metadata.managedFields` holds them. A set is a tree; each edge is a path element in its
 * wire form (`f:name`, `k:{"name":"x"}`, `v:"x"`), each node says whether the path that ends there is in the set.
 */
import { isObject, type JsonObject, setOwn } from '../json.ts';

export class FieldSet {
  member = false;
  readonly children = new Map<string, FieldSet>();

  static fromJson(value: JsonObject): FieldSet {
    const set = new FieldSet();
    for (const [element, below] of Object.entries(value)) {
      if (element === '.') {
        set.member = true;
        continue;
      }
      const members = isObject(below) ? below : {};
      const child = FieldSet.fromJson(members);
      if (Object.keys(members).length === 0) child.member = true;
      set.children.set(element, child);
    }
    return set;
  }

  toJson(): JsonObject {
    const json: JsonObject = {};
    if (this.member && this.children.size > 0) json['.'] = {};
    for (const element of [...this.children.keys()].sort()) {
      setOwn(json, element, this.children.get(element)!.toJson());
    }
    return json;
  }

  get empty(): boolean {
    return !this.member && this.children.size === 0;
  }

  /** The node of a path, created on the way. */
  descend(element: string): FieldSet {
    let child = this.children.get(element);
    if (!child) {
      child = new FieldSet();
      this.children.set(element, child);
    }
    return child;
  }

  at(path: readonly string[]): FieldSet | undefined {
    let node: FieldSet | undefined = this;
    for (const element of path) node = node?.children.get(element);
    return node;
  }

  insert(path: readonly string[]): void {
    let node: FieldSet = this;
    for (const element of path) node = node.descend(element);
    node.member = true;
  }

  copy(): FieldSet {
    return this.union(new FieldSet());
  }

  union(other: FieldSet): FieldSet {
    const result = new FieldSet();
    result.member = this.member || other.member;
    for (const element of new Set([...this.children.keys(), ...other.children.keys()])) {
      const [a, b] = [this.children.get(element), other.children.get(element)];
      result.children.set(element, (a ?? new FieldSet()).union(b ?? new FieldSet()));
    }
    return result;
  }

  difference(other: FieldSet): FieldSet {
    const result = new FieldSet();
    result.member = this.member && !other.member;
    for (const [element, child] of this.children) {
      const below = other.children.get(element);
      const rest = below ? child.difference(below) : child.copy();
      if (!rest.empty) result.children.set(element, rest);
    }
    return result;
  }

  intersection(other: FieldSet): FieldSet {
    const result = new FieldSet();
    result.member = this.member && other.member;
    for (const [element, child] of this.children) {
      const below = other.children.get(element);
      if (!below) continue;
      const both = child.intersection(below);
      if (!both.empty) result.children.set(element, both);
    }
    return result;
  }

  /** Drops a path and everything below it. */
  cut(path: readonly string[]): void {
    const [first, ...rest] = path;
    if (first === undefined) return;
    if (rest.length === 0) {
      this.children.delete(first);
      return;
    }
    const child = this.children.get(first);
    child?.cut(rest);
    if (child?.empty) this.children.delete(first);
  }

  equals(other: FieldSet): boolean {
    if (this.member !== other.member || this.children.size !== other.children.size) return false;
    for (const [element, child] of this.children) {
      const below = other.children.get(element);
      if (!below || !child.equals(below)) return false;
    }
    return true;
  }

  /** Every path of the set as people read it: `.spec.containers[name="a"].image`. What ends at a level comes first. */
  paths(prefix = ''): string[] {
    const elements = [...this.children.keys()].sort();
    const found = elements
      .filter((element) => this.children.get(element)!.member)
      .map((each) => prefix + readable(each));
    for (const element of elements)
      found.push(...this.children.get(element)!.paths(prefix + readable(element)));
    return found;
  }
}

function readable(element: string): string {
  const text = element.slice(2);
  if (element.startsWith('f:')) return `.${text}`;
  if (element.startsWith('v:')) return `[=${text}]`;
  if (element.startsWith('k:')) {
    const keys = Object.entries(JSON.parse(text) as JsonObject);
    return `[${keys.map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(',')}]`;
  }
  return `[${text}]`;
}
