/**
 * The two functions of the Reflect metadata proposal that @peculiar/x509's injector asks for at load. It only uses
 * classes without constructor parameters here, so there is never any metadata to return.
 */
const polyfill = {
  getMetadata: () => undefined,
  defineMetadata: () => undefined,
  getOwnMetadata: () => undefined,
}
Object.assign(Reflect, polyfill)
