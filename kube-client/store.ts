/** What an informer knows: objects by key and by index. Values are frozen, since everybody shares them. */

export type Indexes<T> = Readonly<Record<string, (object: T) => readonly string[]>>;

export class Store<T extends object> {
  readonly #objects = new Map<string, T>();
  readonly #functions: Indexes<T>;
  readonly #indexes = new Map<string, Map<string, Set<string>>>();
  #all: readonly T[] | undefined;

  constructor(functions: Indexes<T> = {}) {
    this.#functions = functions;
    for (const name of Object.keys(functions)) this.#indexes.set(name, new Map());
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  keys(): readonly string[] {
    return [...this.#objects.keys()];
  }

  list(): readonly T[] {
    this.#all ??= [...this.#objects.values()];
    return this.#all;
  }

  /** @throws Error when there is no such index: that is a mistake in the caller. */
  byIndex(index: string, value: string): readonly T[] {
    const values = this.#indexes.get(index);
    if (values === undefined) throw new Error(`no index "${index}"`);
    return [...(values.get(value) ?? [])].map((key) => this.#objects.get(key)!);
  }

  set(key: string, object: T): void {
    const before = this.#objects.get(key);
    if (before !== undefined) this.#unindex(key, before);
    freeze(object);
    this.#objects.set(key, object);
    this.#all = undefined;
    for (const [name, of] of Object.entries(this.#functions)) {
      const values = this.#indexes.get(name)!;
      for (const value of of(object)) {
        const keys = values.get(value);
        if (keys === undefined) values.set(value, new Set([key]));
        else keys.add(key);
      }
    }
  }

  delete(key: string): void {
    const before = this.#objects.get(key);
    if (before === undefined) return;
    this.#unindex(key, before);
    this.#objects.delete(key);
    this.#all = undefined;
  }

  #unindex(key: string, object: T): void {
    for (const [name, of] of Object.entries(this.#functions)) {
      const values = this.#indexes.get(name)!;
      for (const value of of(object)) {
        const keys = values.get(value);
        keys?.delete(key);
        if (keys?.size === 0) values.delete(value);
      }
    }
  }
}

/** Freezes a JSON value to its leaves, so that writing into the cache throws instead of lying to everybody else. */
function freeze(value: object): void {
  Object.freeze(value);
  for (const child of Object.values(value)) {
    if (typeof child === 'object' && child !== null && !Object.isFrozen(child)) freeze(child);
  }
}
