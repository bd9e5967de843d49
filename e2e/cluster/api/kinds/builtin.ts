/** The built-in kinds: the rows of `rows.ts` with the rules from the files that hold them. */
import { definitionName, modelSchema } from '../schema/models.ts';
import { printers } from '../tables/builtin.ts';
import { batchRules } from './batch.ts';
import { configRules } from './config.ts';
import { eventRules } from './events.ts';
import { allVerbs, type Kind, metadataFields, type Rules } from './kind.ts';
import { nodeRules, podRules } from './pods.ts';
import { rbacRules } from './rbac.ts';
import { groups } from './rows.ts';
import { serviceRules } from './services.ts';
import { storageRules } from './storage.ts';
import { workloadRules } from './workloads.ts';

const rules: Readonly<Record<string, Rules>> = {
  ...podRules,
  ...nodeRules,
  ...workloadRules,
  ...batchRules,
  ...serviceRules,
  ...configRules,
  ...rbacRules,
  ...storageRules,
  ...eventRules,
};

function words(text: string | undefined): string[] {
  return text ? text.split(' ') : [];
}

/** @param extra rules that need more than the object, such as those of CRDs, by kind */
export function builtinKinds(extra: Readonly<Record<string, Rules>>): Kind[] {
  return groups.flatMap(([group, version, rows]) =>
    rows.map((row): Kind => {
      const model = row.model ?? `V1${row.kind}`;
      const bucket = row.bucket ?? `${group}/${row.resource}`;
      const definition = definitionName(model);
      return {
        group,
        version,
        kind: row.kind,
        listKind: `${row.kind}List`,
        resource: row.resource,
        singular: row.kind.toLowerCase(),
        namespaced: !row.cluster,
        shortNames: words(row.short),
        categories: words(row.categories),
        verbs: row.verbs ?? allVerbs,
        bucket,
        get schema() {
          return modelSchema(model);
        },
        definition,
        subresources: words(row.sub),
        generation: row.generation === true,
        scale: row.scale,
        fields: row.fields ?? metadataFields,
        printer: printers[`${group}/${row.resource}`],
        rules: { ...rules[row.kind], ...extra[row.kind] },
        custom: false,
        convert: row.convert,
      };
    }),
  );
}
