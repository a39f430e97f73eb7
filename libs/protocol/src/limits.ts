/**
 * Upper bounds on everything that crosses a process boundary. A reader checks them before it
 * allocates; a writer refuses to produce anything beyond them.
 */
export const LIMITS = {
  /** Rows of calibration tokens; gains end long before. */
  calibrationRows: 65_536,
  /** DNS-1123 label, as Kubernetes limits object names that become label values. */
  nameLength: 63,
  labelsPerObject: 64,
  variantsPerModel: 16,
  wavesPerRollout: 64,
  /** Default unit of transfer; negotiated down to the broker's maximum packet size. */
  chunkSizeBytes: 256 * 1024,
  chunkSizeBytesMin: 4 * 1024,
  chunkSizeBytesMax: 4 * 1024 * 1024,
  /** 4 Mi chunks of 256 KiB are 1 TiB, far past any edge model. */
  chunksPerArtifact: 4 * 1024 * 1024,
  headerChunks: 1024,
  deltasPerTarget: 8,
  /** Chunks a device lets be in flight towards it. */
  windowChunksDefault: 32,
  windowChunksMax: 1024,
  messageBytes: 1024 * 1024,
  /** Longest context a device serves unless a model says otherwise. */
  contextLengthDefault: 4096,
  contextLengthMax: 1024 * 1024,
  errorMessageLength: 2000,
  probeTokens: 512,
  fingerprintLogits: 64,
  sampleTextLength: 4000,
} as const;
