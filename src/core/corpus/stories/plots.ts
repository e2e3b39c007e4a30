import { oneOf, sentences, type Phrase } from './grammar.js';

/**
 * Who (`hero` and `friend`, two children) and where (`place`). Plots and endings need these three. Every plot states things that its later
 * sentences depend on: who owns what, what an animal eats, how many are left.
 */
const OPENING = sentences(
  oneOf(
    [4, 'Once upon a time, {hero=children} was a {trait=traits} {hero.child} who loved the {place=places}.'],
    [3, 'One {weather=weathers} day, {hero=children} put on {hero.his} {clothes=weather.clothes} and went to the {place=places}.'],
    [2, 'On {day=days}, {hero=children} and {hero.his} {relative=relatives} went to the {place=places}.'],
    [1, 'Long ago, {hero=children} lived near a {size=sizes} {place=places}.'],
  ),
  oneOf(
    [3, 'There {hero.he} met {friend=children!hero}.'],
    [2, '{hero.He} had a friend named {friend=children!hero}.'],
    [2, 'Soon {friend=children!hero} came, and they {fun=place.fun}.'],
  ),
);

/** A lost toy is not at the first spot but at another one of the place. */
const LOST = sentences(
  '{hero} lost a {size=sizes} {colour=colours} {toy=toys}.',
  oneOf(
    [2, '{hero.He} looked {wrong=place.spots}, but it was not there.'],
    [1, 'It was not {wrong=place.spots}.'],
  ),
  oneOf(
    [2, 'Then {friend} looked {right=place.spots!wrong} and found the {colour} {toy}.'],
    [1, '"Your {toy} is {right=place.spots!wrong}!" said {friend}.'],
  ),
  '{hero} was {mood=moods} to have the {toy} back.',
);

/** A gift is answered by another. */
const GIFT = sentences(
  '{friend} was sad because {friend.his} {lost=toys} was {state=states}.',
  oneOf(
    [2, '{hero} gave {friend.him} a {colour=colours} {toy=toys!lost}.'],
    [1, '"You can have my {colour=colours} {toy=toys!lost}," said {hero}.'],
  ),
  oneOf(
    [1, '"I love this {toy}," said {friend}.'],
    [1, '{friend} put the {lost} away and took the {colour} {toy}.'],
  ),
  'Then {friend} gave {hero} {number=numbers} {fruit=fruits}.',
);

/** An animal's trouble has its own remedy, the animal its own voice and food. */
const RESCUE = sentences(
  'They found a {size=sizes} {animal=animals} that was {trouble=animal.troubles}.',
  oneOf(
    [1, '{hero} {adverb=adverbs} {trouble.remedy}.'],
    [1, '{friend} {adverb=adverbs} {trouble.remedy}.'],
  ),
  '"{animal.sound}!" said the {animal}.',
  oneOf(
    [2, '{hero} gave it {animal.food} and named it {pet=petNames}.'],
    [1, 'They fed it {animal.food} and named it {pet=petNames}.'],
  ),
  oneOf(
    [1, '{pet} the {animal} followed {hero} home.'],
    [1, 'Now {pet} lives with {friend}.'],
  ),
);

/** Two toys change hands. */
const TRADE = sentences(
  '{hero} had a {colour=colours} {toy=toys}, and {friend} had a {other=colours!colour} {thing=toys!toy}.',
  oneOf(
    [1, 'So they traded.'],
    [1, '"Do you want my {toy}?" said {hero}.'],
    [1, '"Can we trade?" said {friend}.'],
  ),
  'Now {hero} had the {other} {thing} and {friend} had the {colour} {toy}.',
  oneOf(
    [1, '{friend} was {mood=moods}.'],
    [1, '{hero} was {mood=moods}.'],
  ),
);

/** One of several things is given away, and one less is left. */
const SHARE = sentences(
  '{hero} carried {number=numbers} {fruit=fruits} in a {colour=colours} {bag=bags}.',
  oneOf(
    [2, '{friend} was hungry, so {hero} gave {friend.him} one.'],
    [1, '"May I have one?" said {friend}, and {hero} gave {friend.him} one.'],
  ),
  'Now there were {number.left} {fruit} in the {bag}.',
  oneOf(
    [1, '"Thank you, {hero}," said {friend}.'],
    [1, 'They sat down {spot=place.spots} and ate.'],
  ),
);

/** What is broken decides what mends it. */
const MEND = sentences(
  '{hero} broke a {thing=fragiles} that belonged to {hero.his} {owner=relatives}.',
  oneOf(
    [2, '{hero.He} was sorry and told {hero.his} {owner}.'],
    [1, '{hero.He} hid the {thing} {spot=place.spots}.'],
  ),
  '{friend} brought {tool=thing.tools}, and they {adverb=adverbs} fixed the {thing} with the {tool}.',
  '"It is as good as new," said {hero.his} {owner}.',
);

/** What is made decides what is needed and what it is for. */
const MAKE = sentences(
  'They wanted to make a {project=projects}, but they had no {need=project.needs}.',
  oneOf(
    [2, 'A {trait=traits} {helper=helpers} gave them {need}.'],
    [1, '{friend} found {need} {spot=place.spots}.'],
    [1, '"I have {need} at home," said {hero}.'],
  ),
  'Soon the {project} was ready, and they {project.use} it.',
);

/** What one fears decides what helps. */
const FEAR = sentences(
  '{hero} was afraid of the {fear=fears}.',
  oneOf(
    [2, '{friend} {adverb=adverbs} gave {hero.him} {help=fear.helps}.'],
    [1, '"You need {help=fear.helps}," said {friend}.'],
  ),
  'With {help}, {hero} was {mood=moods} and not afraid of the {fear}.',
);

const ENDING = oneOf(
  [3, '{hero} and {friend} played {game=games} until {until=untils}.'],
  [2, 'At home, {hero} told {hero.his} {listener=relatives} about {friend}.'],
  [2, 'From that day on, {hero} and {friend} were best friends.'],
  [2, 'At night, {friend} dreamed of the {place}.'],
);

/** The story grammar: an opening, one of eight plots, an ending. */
export const STORY: Phrase = sentences(
  OPENING,
  oneOf(
    [3, LOST], [3, GIFT], [3, RESCUE], [3, TRADE], [3, SHARE], [2, MEND], [3, MAKE], [2, FEAR],
  ),
  ENDING,
);
