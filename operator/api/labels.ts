/** Labels that are the operator's own affair; those that routers select by are in the contract. */

/** On pods: the content they were made for, so that failures of old pods are not held against new ones. */
export const contentLabel = 'sluice.dev/content-hash';

/** On a Model that nobody wrote; it goes with its last version. */
export const implicitLabel = 'sluice.dev/implicit';
