// The lint: types as strict as typescript-eslint has them, small files, and the project's own refusals.
import tseslint from 'typescript-eslint';

export default tseslint.config(
  { ignores: ['dist/**', 'node_modules/**', '.lab*/**', 'coverage/**', 'docs/**'] },
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      'max-lines': ['error', { max: 400, skipBlankLines: false, skipComments: false }],
      'no-empty': ['error', { allowEmptyCatch: false }],
      eqeqeq: 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports', disallowTypeAnnotations: false }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/no-unnecessary-condition': ['error', { allowConstantLoopConditions: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrorsIgnorePattern: '^_' }],
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-extraneous-class': ['error', { allowWithDecorator: true, allowConstructorOnly: true }],
      // Nest types its options as classes and takes plain objects.
      '@typescript-eslint/no-unsafe-class-instance-assignment': 'off',
      '@typescript-eslint/unified-signatures': 'off',
      '@typescript-eslint/no-unnecessary-type-parameters': 'off',
      'no-restricted-imports': ['error', { patterns: [{ group: ['#testing'], message: 'Only tests may import the test aids.' }] }],
      'no-restricted-syntax': [
        'error',
        { selector: "CallExpression[callee.property.name='orderBy'][arguments.0.type!='ObjectExpression']", message: 'TypeORM’s orderBy(raw) is injectable: name columns from a map.' },
      ],
    },
  },
  {
    files: ['**/*.{spec,it,e2e,fault,fixture,testing}.ts', 'test/**/*.ts', 'libs/testing/**/*.ts', 'libs/*/src/testing/**/*.ts'],
    rules: { 'no-restricted-imports': 'off', '@typescript-eslint/require-await': 'off', '@typescript-eslint/unbound-method': 'off' },
  },
);
