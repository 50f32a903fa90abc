// The published form of a policy: JSON Schema (draft 2020-12). Editors complete and check policy files with it, and
// parsePolicy() walks this very object, so that the schema and the code cannot come to disagree.
// Only keywords that sdk/attest/json-schema.ts knows are used.

import type { Schema } from './json-schema.ts'

const NOT_AFTER =
  '^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,3})?Z$'

const referenceValues = (description: string): Schema => ({
  description,
  type: 'array',
  maxItems: 1024,
  items: { $ref: '#/$defs/referenceValue' },
})

/** JSON Schema of a policy file; `$id` is a name, nothing is fetched from it. */
export const policySchema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  $id: 'urn:palimpsest:policy:1',
  title: 'a Palimpsest policy',
  description:
    'Reference values by which a VM appraises a platform, a worker and a peer before it releases a key. ' +
    'What is not listed is refused: an empty list allows nothing.',
  type: 'object',
  additionalProperties: false,
  required: ['version', 'trustAnchors', 'firmware', 'hypervisors', 'workers', 'peers', 'pcrs'],
  properties: {
    $schema: { description: 'Where an editor finds this schema; ignored.', type: 'string', maxLength: 1024 },
    version: { description: 'Version of this format.', title: 'the number 1', const: 1 },
    description: { description: 'For humans; not judged.', type: 'string', maxLength: 1024 },
    trustAnchors: {
      description:
        'Root certificates of platform manufacturers, PEM. Endorsement and report keys must chain to one of them.',
      type: 'array',
      maxItems: 64,
      items: {
        title: 'a PEM certificate',
        type: 'string',
        maxLength: 16384,
        pattern: '^-----BEGIN CERTIFICATE-----\\s[A-Za-z0-9+/=\\s]+-----END CERTIFICATE-----\\s*$',
      },
    },
    firmware: {
      description: 'The firmware that the platform may have booted.',
      type: 'object',
      additionalProperties: false,
      required: ['images', 'signers', 'minimumSvn'],
      properties: {
        images: referenceValues('SHA-256 of whole firmware images, as they were loaded.'),
        signers: {
          description: 'Keys that may sign firmware manifests: SHA-256 of the SubjectPublicKeyInfo.',
          type: 'array',
          maxItems: 1024,
          items: { $ref: '#/$defs/sha256' },
        },
        minimumSvn: {
          description: 'Lowest security version number of the firmware manifest that is accepted.',
          title: 'an integer 0..4294967295',
          type: 'integer',
          minimum: 0,
          maximum: 4294967295,
        },
      },
    },
    hypervisors: referenceValues('SHA-256 of hypervisor images, as measured into PCR 4.'),
    workers: referenceValues(
      'Worker images, as measured by the platform at launch: SHA-256 of the image (64 digits) or SEV-SNP launch digest (96 digits).',
    ),
    peers: {
      description: 'VMs that may stand on the other side of a clone.',
      type: 'array',
      maxItems: 4096,
      items: { $ref: '#/$defs/peer' },
    },
    pcrs: {
      description: 'What a quote must select, exactly.',
      type: 'object',
      additionalProperties: false,
      required: ['bank', 'select'],
      properties: {
        bank: { description: 'PCR bank.', title: '"sha256" or "sha384"', enum: ['sha256', 'sha384'] },
        select: {
          description:
            'PCR numbers; 0 (firmware), 4 (hypervisor) and 7 (configuration) are needed, and 2 and 6 for boot profile uefi.',
          type: 'array',
          uniqueItems: true,
          maxItems: 24,
          items: { title: 'a PCR number 0..23', type: 'integer', minimum: 0, maximum: 23 },
          allOf: [
            { title: 'a list with PCR 0 in it', contains: { const: 0 } },
            { title: 'a list with PCR 4 in it', contains: { const: 4 } },
            { title: 'a list with PCR 7 in it', contains: { const: 7 } },
          ],
        },
        values: {
          description:
            'PCRs whose values are known. Boot profile uefi needs PCR 0 (firmware measures itself in parts there, with what ' +
            'it wrote into its memory before, so that the value depends on the machine) and PCR 2 (other code).',
          type: 'array',
          maxItems: 24,
          items: {
            description: 'One PCR.',
            type: 'object',
            additionalProperties: false,
            required: ['pcr', 'digests'],
            properties: {
              pcr: {
                description: 'A PCR that is selected.',
                title: 'a PCR number 0..23',
                type: 'integer',
                minimum: 0,
                maximum: 23,
              },
              digests: referenceValues("Accepted values, in the policy's bank."),
            },
          },
        },
      },
    },
    configuration: referenceValues(
      "Digests, in the policy's bank, of the platform's configuration event, in PCR 7 (profile uefi: PCR 6). Absent: it may be any.",
    ),
    allowEmulated: {
      description:
        'Whether an emulated platform is accepted. It gives no isolation: for development and tests.',
      type: 'boolean',
      default: false,
    },
    allowGroupScope: {
      description:
        "Whether the worker may get the common key of a share group, which opens all of the group's memory and puts " +
        'equal pages under equal ciphertext: from this VM, or from the other side of a clone.',
      type: 'boolean',
      default: false,
    },
    maximumResets: {
      description: 'Resets of the platform that are accepted after the first evidence. Absent: any number.',
      title: 'an integer 0..4294967295',
      type: 'integer',
      minimum: 0,
      maximum: 4294967295,
    },
    platforms: {
      description:
        'TPM names of the endorsement keys of the only platforms that are accepted. Absent: any genuine one.',
      type: 'array',
      maxItems: 4096,
      items: {
        title: 'a TPM name: 000b and 64, or 000c and 96 lower-case hexadecimal digits',
        type: 'string',
        pattern: '^(000b[0-9a-f]{64}|000c[0-9a-f]{96})$',
      },
    },
  },
  $defs: {
    sha256: {
      title: '64 lower-case hexadecimal digits',
      type: 'string',
      pattern: '^[0-9a-f]{64}$',
    },
    referenceValue: {
      description: 'One accepted digest.',
      type: 'object',
      additionalProperties: false,
      required: ['digest'],
      properties: {
        digest: {
          description:
            'SHA-256; of workers also the launch digest; for configuration events the digest in the bank that is quoted.',
          title: '64 or 96 lower-case hexadecimal digits',
          type: 'string',
          pattern: '^([0-9a-f]{64}|[0-9a-f]{96})$',
        },
        description: { description: 'For humans; not judged.', type: 'string', maxLength: 1024 },
        notAfter: {
          description: 'The value is refused from then on.',
          title: 'a UTC time as 2030-01-31T12:00:00Z',
          type: 'string',
          pattern: NOT_AFTER,
        },
      },
    },
    peer: {
      description: 'One accepted VM.',
      type: 'object',
      additionalProperties: false,
      required: ['identity'],
      properties: {
        identity: {
          description: "SHA-256 of the SubjectPublicKeyInfo of the VM's identity key.",
          $ref: '#/$defs/sha256',
        },
        measurement: {
          description: "SHA-256 that the VM's launch report must state. Absent: any.",
          $ref: '#/$defs/sha256',
        },
        description: { description: 'For humans; not judged.', type: 'string', maxLength: 1024 },
      },
    },
  },
} as const satisfies Schema
