/** kubectl and Helm as a person uses them, against one cluster. */
import { must, type Outcome, type RunOptions, run } from './process.ts';

/** An object, as kubectl reads it from stdin. */
export type Manifest = Readonly<Record<string, unknown>>;

export class Kubectl {
  readonly #programs: { readonly kubectl: string; readonly helm: string };
  readonly #env: NodeJS.ProcessEnv;

  constructor(programs: { readonly kubectl: string; readonly helm: string }, kubeconfig: string) {
    this.#programs = programs;
    this.#env = { ...process.env, KUBECONFIG: kubeconfig };
  }

  /** Runs kubectl; its output when it succeeds, else an error with what it said. */
  kubectl(args: readonly string[], options: RunOptions = {}): Promise<string> {
    return must(this.#programs.kubectl, args, { env: this.#env, ...options });
  }

  /** Runs kubectl, whatever comes of it. */
  attempt(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    return run(this.#programs.kubectl, args, { env: this.#env, ...options });
  }

  helm(args: readonly string[], options: RunOptions = {}): Promise<string> {
    return must(this.#programs.helm, args, { env: this.#env, ...options });
  }

  attemptHelm(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    return run(this.#programs.helm, args, { env: this.#env, ...options });
  }

  /** `kubectl apply` of objects, in one call. */
  apply(namespace: string, ...objects: readonly Manifest[]): Promise<string> {
    return this.kubectl(['apply', '-n', namespace, '-f', '-'], { input: lines(objects) });
  }

  /** The same, whatever comes of it. */
  attemptApply(namespace: string, ...objects: readonly Manifest[]): Promise<Outcome> {
    return this.attempt(['apply', '-n', namespace, '-f', '-'], { input: lines(objects) });
  }

  /** The object that a `kubectl get … -o json` answers with. */
  async get<T>(args: readonly string[]): Promise<T> {
    return JSON.parse(await this.kubectl(['get', ...args, '-o', 'json'])) as T;
  }
}

function lines(objects: readonly Manifest[]): string {
  return objects.map((object) => JSON.stringify(object)).join('\n---\n');
}
