/** Pod Security `restricted`, for every pod that Sluice makes. */

/** The user that all our images run as; groups let it write to volumes. */
const user = 65_532;

export const podSecurity = {
  runAsNonRoot: true,
  runAsUser: user,
  runAsGroup: user,
  fsGroup: user,
  fsGroupChangePolicy: 'OnRootMismatch',
  seccompProfile: { type: 'RuntimeDefault' },
} as const;

/** Of a container; a foreign image may need a writable root file system, ours does not. */
export const containerSecurity = (readOnlyRootFilesystem: boolean) =>
  ({
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem,
    capabilities: { drop: ['ALL'] },
  }) as const;
