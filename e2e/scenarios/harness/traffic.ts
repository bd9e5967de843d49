/** Every share of the traffic that a Model's status has shown, in order. */

/** As much of a `World` as is needed here. */
export interface ModelWatch {
  onModel(
    handler: (change: {
      readonly key: string;
      readonly now?: {
        readonly metadata: { readonly name?: string };
        readonly status?: {
          readonly traffic?: readonly { readonly version: string; readonly weight: number }[];
        };
      };
    }) => void,
  ): () => void;
}

export interface Moment {
  /** Milliseconds since the epoch, when its event came. */
  readonly at: number;
  readonly shares: ReadonlyMap<string, number>;
}

export interface Traffic {
  readonly moments: readonly Moment[];
  /** Shares of one version in order, without repetition; it begins with the first that is above 0. */
  weights(version: string): number[];
  /** Sums of all shares, one for each moment. */
  sums(): number[];
  stop(): void;
}

export function watchTraffic(world: ModelWatch, model: string): Traffic {
  const moments: Moment[] = [];
  const stop = world.onModel(({ now }) => {
    if (now?.metadata.name !== model || now.status?.traffic === undefined) return;
    moments.push({
      at: Date.now(),
      shares: new Map(now.status.traffic.map(({ version, weight }) => [version, weight])),
    });
  });
  return {
    moments,
    weights: (version) => {
      const all = moments.map(({ shares }) => shares.get(version) ?? 0);
      const changes = all.filter((weight, index) => weight !== (all[index - 1] ?? 0));
      return changes;
    },
    sums: () => moments.map(({ shares }) => [...shares.values()].reduce((sum, weight) => sum + weight, 0)),
    stop,
  };
}
