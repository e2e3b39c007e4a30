import type { Item, Lists } from './grammar.js';

/** Items that have nothing but their own text. */
function plain(words: string): Item[] {
  return words.split(', ').map((text) => ({ text }));
}

function girl(text: string): Item {
  return { text, child: 'girl', he: 'she', He: 'She', his: 'her', him: 'her' };
}

function boy(text: string): Item {
  return { text, child: 'boy', he: 'he', He: 'He', his: 'his', him: 'him' };
}

const CHILDREN: readonly Item[] = [
  ...['Anna', 'Lily', 'Mia', 'Sue', 'Rosa', 'Emma', 'Nora', 'Ella', 'Ivy', 'Kate', 'Zoe', 'Lucy'].map(girl),
  ...['Tom', 'Ben', 'Max', 'Leo', 'Finn', 'Jack', 'Noah', 'Sam', 'Paul', 'Oscar', 'Hugo', 'Tim'].map(boy),
];

/** Places, what one does there, what lies about there, and where in them a thing can be. */
const PLACES: readonly Item[] = [
  { text: 'park', fun: plain('played on the swing, ran in the grass, rode a bike'), spots: plain('under the bench, behind the slide, in the sand, by the fountain') },
  { text: 'beach', fun: plain('built a castle, jumped over waves, looked for crabs'), spots: plain('under the towel, behind the rock, in the sand, by the shells') },
  { text: 'forest', fun: plain('climbed a tree, counted birds, sang a song'), spots: plain('under the leaves, behind the oak, in the moss, by the stream') },
  { text: 'garden', fun: plain('watered the roses, dug a hole, picked flowers'), spots: plain('under the pot, behind the shed, in the bush, by the wall') },
  { text: 'farm', fun: plain('fed the hens, sat on a tractor, rode a pony'), spots: plain('under the cart, behind the barn, in the hay, by the fence') },
  { text: 'school', fun: plain('read a book, painted a picture, learned a dance'), spots: plain('under the desk, behind the door, in the box, by the window') },
  { text: 'kitchen', fun: plain('baked bread, washed the cups, made some tea'), spots: plain('under the table, behind the stove, in the sink, by the bread') },
  { text: 'lake', fun: plain('swam for hours, threw stones, caught a fish'), spots: plain('under the dock, behind the reeds, in the mud, by the canoe') },
];

/** Weathers and what one wears in them. */
const WEATHERS: readonly Item[] = [
  { text: 'rainy', clothes: plain('boots, raincoat, yellow cape') },
  { text: 'snowy', clothes: plain('mittens, wool hat, scarf') },
  { text: 'sunny', clothes: plain('straw hat, shorts, sandals') },
  { text: 'windy', clothes: plain('jacket, hood, warm sweater') },
];

/** Animals, what they say, what they like, and troubles with their remedies. */
const ANIMALS: readonly Item[] = [
  { text: 'kitten', sound: 'Meow', food: 'milk', troubles: [{ text: 'stuck in a tree', remedy: 'climbed up with a ladder' }, { text: 'cold and wet', remedy: 'dried it with a towel' }] },
  { text: 'puppy', sound: 'Woof', food: 'meat', troubles: [{ text: 'lost in the fog', remedy: 'lit a lamp' }, { text: 'caught in a fence', remedy: 'cut the wire' }] },
  { text: 'duck', sound: 'Quack', food: 'bread', troubles: [{ text: 'tangled in a net', remedy: 'untied the knots' }, { text: 'trapped under ice', remedy: 'broke the ice' }] },
  { text: 'lamb', sound: 'Baa', food: 'grass', troubles: [{ text: 'stuck in mud', remedy: 'pulled with a rope' }, { text: 'lost in the snow', remedy: 'followed its tracks' }] },
  { text: 'frog', sound: 'Ribbit', food: 'flies', troubles: [{ text: 'trapped in a jar', remedy: 'opened the lid' }, { text: 'far from its pond', remedy: 'dug a new pond' }] },
  { text: 'mouse', sound: 'Squeak', food: 'cheese', troubles: [{ text: 'caught in a trap', remedy: 'lifted the spring' }, { text: 'chased by a cat', remedy: 'shut the door' }] },
  { text: 'owl', sound: 'Hoot', food: 'worms', troubles: [{ text: 'hurt on one wing', remedy: 'tied a bandage' }, { text: 'tired and lost', remedy: 'made a nest' }] },
  { text: 'pony', sound: 'Neigh', food: 'apples', troubles: [{ text: 'stuck in a ditch', remedy: 'laid down a plank' }, { text: 'scared of thunder', remedy: 'hummed a tune' }] },
];

/** Things that break, with what mends them. */
const FRAGILES: readonly Item[] = [
  { text: 'cup', tools: plain('glue, clay') },
  { text: 'kite', tools: plain('string, tape') },
  { text: 'chair', tools: plain('nails, screws') },
  { text: 'dress', tools: plain('thread, pins') },
  { text: 'clock', tools: plain('oil, springs') },
  { text: 'lamp', tools: plain('wire, bulbs') },
];

/** Things to make, with what they need and what is done with them. */
const PROJECTS: readonly Item[] = [
  { text: 'cake', needs: plain('eggs, flour, sugar'), use: 'ate' },
  { text: 'tree house', needs: plain('wood, rope, nails'), use: 'slept in' },
  { text: 'snowman', needs: plain('snow, carrots, buttons'), use: 'hugged' },
  { text: 'puppet', needs: plain('cloth, wool, paint'), use: 'played with' },
  { text: 'soup', needs: plain('beans, salt, onions'), use: 'tasted' },
  { text: 'raft', needs: plain('logs, sails, straw'), use: 'sailed on' },
];

/** Fears and what helps against them. */
const FEARS: readonly Item[] = [
  { text: 'dark', helps: plain('a candle, a night light') },
  { text: 'storm', helps: plain('a blanket, a loud song') },
  { text: 'deep water', helps: plain('a float, a safe rope') },
  { text: 'big dog', helps: plain('a bone, a gentle voice') },
  { text: 'tall stairs', helps: plain('a rail, a strong hand') },
  { text: 'doctor', helps: plain('a teddy bear, a joke') },
];

/** More than one of something, and how many are left when one is given away. */
const NUMBERS: readonly Item[] = [
  { text: 'three', left: 'two' }, { text: 'four', left: 'three' }, { text: 'five', left: 'four' },
  { text: 'six', left: 'five' }, { text: 'seven', left: 'six' }, { text: 'nine', left: 'eight' },
];

/** Every list the plots pick from. No item of a list begins another, so that each can be told from the text (ambiguity.ts). */
export const STORY_LISTS: Lists = {
  children: CHILDREN,
  places: PLACES,
  weathers: WEATHERS,
  animals: ANIMALS,
  fragiles: FRAGILES,
  projects: PROJECTS,
  fears: FEARS,
  numbers: NUMBERS,
  traits: plain('kind, brave, clever, quiet, funny, shy, busy, curious'),
  days: plain('Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday'),
  colours: plain('red, blue, green, yellow, white, black, pink, purple'),
  sizes: plain('tiny, little, big, huge'),
  toys: plain('ball, doll, drum, truck, robot, top, train, flute, book, hoop'),
  fruits: plain('pears, plums, cookies, figs, nuts, cherries, rolls, grapes'),
  relatives: plain('mother, father, grandma, grandpa, sister, brother'),
  helpers: plain('baker, farmer, teacher, nurse, sailor, miller'),
  games: plain('tag, chess, cards, hide and seek, catch'),
  bags: plain('bag, basket, pocket, bowl'),
  states: plain('broken, gone, torn, dirty, old'),
  untils: plain('dinner, sunset, bedtime, noon'),
  petNames: plain('Spot, Fluffy, Coco, Dot, Pip, Bella, Ginger, Shadow'),
  moods: plain('happy, proud, glad, calm'),
  adverbs: plain('quickly, bravely, gladly, calmly, kindly'),
};
