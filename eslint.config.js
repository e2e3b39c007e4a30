import tseslint from 'typescript-eslint';

const tensorflow = { group: ['@tensorflow/*'], message: 'inference runs without TensorFlow; take a LanguageModel instead' };
const backendPackages = {
  group: ['@tensorflow/tfjs-*', '!@tensorflow/tfjs-core', 'webgpu'],
  message: 'only core/backend knows backend packages',
};
const cliPackages = {
  group: ['@oclif/*', 'chalk', 'cli-progress', '**/cli/**', '**/commands/**'],
  message: 'the core neither prints nor parses flags; take a Reporter and options',
};

const walls = (files, ...patterns) => ({ files, rules: { 'no-restricted-imports': ['error', { patterns }] } });

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', 'runs/', 'models/', 'assembly/'] },
  ...tseslint.configs.recommended,
  {
    languageOptions: { parserOptions: { projectService: { maximumDefaultProjectFileMatchCount_THIS_WILL_SLOW_DOWN_LINTING: 16, allowDefaultProject: ['eslint.config.js', 'bin/*.js', 'scripts/*.mjs', 'test/support/*.mjs', 'bench/support/*.mjs'] }, tsconfigRootDir: import.meta.dirname } },
    rules: {
      'max-params': ['error', 3],
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      'no-restricted-syntax': ['error',
        { selector: 'TSEnumDeclaration', message: 'use a string union' },
        { selector: 'CallExpression[callee.object.name="process"][callee.property.name="exit"]', message: 'throw a BispikError instead' }],
    },
  },
  {
    files: ['src/**/*.ts'],
    rules: {
      'max-lines': ['error', { max: 300, skipBlankLines: true, skipComments: true }],
      'max-lines-per-function': ['error', { max: 40, skipBlankLines: true, skipComments: true }],
    },
  },
  { files: ['src/core/**/*.ts'], rules: { 'no-console': 'error' } },
  walls(['src/core/**/*.ts'], cliPackages, backendPackages),
  walls(['src/core/backend/**/*.ts'], cliPackages),
  walls(['src/core/{engine,generate,eval,energy}/**/*.ts'], cliPackages, tensorflow),
  // An assertion may also take a label.
  { files: ['test/**/*.ts'], rules: { 'max-params': ['error', 4] } },
  { files: ['scripts/**', 'test/**', 'bin/**', 'bench/**'], rules: { 'no-restricted-syntax': 'off', '@typescript-eslint/no-unused-expressions': 'off' } },
);
