// Known answers for the self-test, none of them computed here: examples of the standards, and for keys what OpenSSL 3
// made. The private keys belong to nobody.
// Source: FIPS 180-4 (hashes of "abc"); RFC 4231, 4.3 (HMAC); NIST SP 800-38A, annex F (AES); OpenSSL 3.0 (KBKDF, SSKDF,
// RSA and P-256 keys, signatures and ciphertexts).

/** "abc", with which hashes, signatures and ciphertexts are made. */
export const MESSAGE = '616263'

/** Hashes of MESSAGE. */
export const DIGESTS = {
  sha1: 'a9993e364706816aba3e25717850c26c9cd0d89d',
  sha256: 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
  sha384: 'cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7',
  sha512:
    'ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a' +
    '2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f',
} as const

/** HMAC-SHA-256 of "what do ya want for nothing?" with the key "Jefe". */
export const HMAC_VECTOR = {
  key: '4a656665',
  data: '7768617420646f2079612077616e7420666f72206e6f7468696e673f',
  mac: '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
} as const

/** AES-128 over two blocks. */
export const AES_VECTOR = {
  key: '2b7e151628aed2a6abf7158809cf4f3c',
  iv: '000102030405060708090a0b0c0d0e0f',
  counter: 'f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff',
  plain: '6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51',
  ecb: '3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf',
  cbc: '7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2',
  cfb: '3b3fd92eb72dad20333449f8e83cfb4ac8a64537a0b3a93fcde3cdad9f1ce58b',
  ofb: '3b3fd92eb72dad20333449f8e83cfb4a7789508d16918f03f53c52dac54ed825',
  ctr: '874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff',
} as const

/** 40 bytes of each KDF with SHA-256: KDFa and KDFe with the label "SELFTEST", and the mask of XOR obfuscation. */
export const KDF_VECTOR = {
  key: '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f',
  contextU: 'aabb',
  contextV: 'ccdd',
  kdfa: '5f96c0221a85e841a850e6a7d3edb72f8f4b3288be33c17cda410c99694ed6ae5c40be5bd01c0b5f',
  kdfe: '4cd01dfde40a2dc3e370f3ae219fd13871cb1296ebd98f1d65e26cbee170daf1cfb4bf4272d23111',
  mask: '01096521c8ca4d774dfd81461ff8829ac409bd6055d56b49737005fa1dd0527279caaa44d22bbc2d',
} as const

/** A key of 1024 bits with exponent 65537, its signatures of MESSAGE with SHA-256, and MESSAGE encrypted to it. */
export const RSA_VECTOR = {
  modulus:
    'cf110b87511bbfb3af180a03b406b47145e80672bc4228af780419dfb0f9b04274b3c366c200bbd726f067bc64fb3f54' +
    '606f609b89445f2158be363f404249ccf0689c3d827e90af665dee9a500a4e04c4c8d862b038e7e55a14368316219fc3' +
    '2084a6a441ff274736253a4f72c9fff7e9d7d0923fdae7909d04b64a1390ca1b',
  prime:
    'f788f4ab2906c38b39ef1146506de6cca3419bf78123e1a377ff9c2fa5f8efe09055cdcc1882c86acb8c3b1fc9d88df3' +
    'fee89dfc64b4e375bcd2e6f3b32c96e5',
  rsassa:
    'c214bc9f800c4fb6277d468ab0ccbf0039c3d09053a881dd2198230ccad502f265afe7e54afd3ffff795b8d13ad13029' +
    'c941e63bf9058c8efb32a07e31e56cf5b1e6f7e2a98ae5ca016f5fd46db486989b00c9e238382aa260ec697b5e69c052' +
    'c22ac96aa4b0e2d7747cc96c714e4b350ff1c7c5eb3129504820cf44e6a315e1',
  rsapss:
    '2461af3c0633933121b942445de2fe61a109cd39abf116ae14ed26979fab6532a890646343d11db4e0006a64c44dd277' +
    'b1ad51760dcdac6539596ca7a511fed1d129511568c9aca97d0f7555bc65fdae40c88d919a23509029405883adf02512' +
    '814446d1e47a606f8fdfdbea0b6dc0df06aa3ecc8a4d3bd96f99243d047f1984',
  rsaes:
    '057ac08c6f2e590e5a52db02116a5cbadfa419d4cea330319e48d9b1ba34691f0db8ef8eacf6e60b05b2f0de4e42624d' +
    '45b00a8fb31a02b2e46e1599f1c14bfb2db4fdc09995965c30a8495615a49e0023b33e1abe63e6dba195f253e3de0c86' +
    '61ab7477ada2ce2b0175ab71f514f5ad9b07804ea9779aa1296ae81fff9f3ae8',
  /** with SHA-256 and the label "TEST" with its terminating zero */
  oaep:
    '6d9fd0da50c16bab312516e1536a657229e6a92c7015dbf7cbd7232dda3d68e5c18311d055e02fe4bc6d82f8aa3ebcaf' +
    'fdcd06993e284c70324a8b73a908bfa6a240d109c365d963e8a06f419223f1389ea35f33a6e081b9f9d44c08f3265af7' +
    'ee6eb9abdf52022561f2481ed2a8e07ad49638d20152c3eb0e0bc968351eb7de',
  label: '5445535400',
} as const

/** Two keys of P-256, what they share (ECDH), and the first one's ECDSA of MESSAGE with SHA-256. */
export const ECC_VECTOR = {
  scalar: '2d4f6a76793ad4e610bca757a0eea4cf110f84c250c21d87c95d1136817c0945',
  x: '02d8fca7e8145428db0d040bd863d9ef30c02b98b11917424cd30967b0e79b32',
  y: '2a4d819bef4e33832b120b62c98a13cdc6ecc2162d290158f3fe4eeb86d6e392',
  otherScalar: '3ffe0133e0d0c027a9fa531c7ebec77c29bcddbf7bf223764e8cf3fe23b42562',
  otherX: '596b7df8043495cc0a5d99b1d14db091ce8788596ee78690b3a1c174e0c7eed6',
  otherY: '8ac2566fdece29c506cc6b523e4fe1c4abf23a070e237f2c50ca769d1cbfa0cd',
  shared: '8fb7123b0c83c588e7e7c569ca72a4b31704074f4a9a78e8c6a112ad7a2528b4',
  signatureR: '91edef3a32a9344244a5b7cfae8def8d7fb46c443317290e57462c3cef9d8518',
  signatureS: '20c84d7e7cf76c3fc6fdc6ab71fad1fc9818494700decdcf8b9f95b67b293e27',
} as const
