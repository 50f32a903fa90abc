/**
 * Two house rules that no ready-made ESLint rule covers, as a local plugin (eslint.org/docs/latest/extend/plugins).
 *
 * - `file-header`: a file opens with a comment that says what it is and why, so that a reader need not guess.
 * - `exported-doc`: an exported declaration has a docstring, because the editor shows it to our users.
 */

/** @type {import('eslint').Rule.RuleModule} */
const fileHeader = {
  meta: {
    type: 'suggestion',
    schema: [],
    messages: {
      missing:
        'Open the file with a comment: what it is, why it exists, which specification and section it follows.',
    },
  },
  create(context) {
    return {
      Program(node) {
        const { sourceCode } = context
        const firstToken = sourceCode.ast.tokens[0]
        const [firstComment] = sourceCode.getAllComments().filter((comment) => comment.type !== 'Shebang')
        const opens =
          firstComment !== undefined &&
          (firstToken === undefined || firstComment.range[1] <= firstToken.range[0])
        if (!opens) context.report({ node, loc: { line: 1, column: 0 }, messageId: 'missing' })
      },
    }
  },
}

/** Kinds of declaration whose docstring an editor shows at every use. */
const documented = new Set([
  'ClassDeclaration',
  'FunctionDeclaration',
  'TSDeclareFunction',
  'TSInterfaceDeclaration',
  'TSTypeAliasDeclaration',
  'VariableDeclaration',
])

/** @type {import('eslint').Rule.RuleModule} */
const exportedDoc = {
  meta: {
    type: 'suggestion',
    schema: [],
    messages: { missing: 'Give this export a docstring (/** ... */): shapes, units, errors, source.' },
  },
  create(context) {
    const hasDocstring = (node) =>
      context.sourceCode
        .getCommentsBefore(node)
        .some((comment) => comment.type === 'Block' && comment.value.startsWith('*'))
    return {
      ExportNamedDeclaration(node) {
        const { declaration } = node
        if (!declaration || !documented.has(declaration.type) || hasDocstring(node)) return
        // The implementation of an overloaded function is documented at its first signature.
        const siblings = node.parent.body
        const before = siblings[siblings.indexOf(node) - 1]
        if (before?.type === 'ExportNamedDeclaration' && before.declaration?.type === 'TSDeclareFunction')
          return
        context.report({ node: declaration, loc: declaration.loc.start, messageId: 'missing' })
      },
    }
  },
}

export default { rules: { 'file-header': fileHeader, 'exported-doc': exportedDoc } }
