/* How often a letter occurs in a word.  The model sees the word in pieces of several letters, so
 * the trace repeats what is asked, spells the word, and puts the running count behind each letter
 * that is meant:
 *
 *     r in strawberry: s t r1 a w b e r2 r3 y: 3 */
#include "train/int_words.h"

#include <string.h>

static const char *const english[] = {
    "strawberry",  "banana",     "apple",       "pepper",      "coffee",      "kitchen",
    "butter",      "cheese",     "dinner",      "summer",      "winter",      "autumn",
    "weather",     "thunder",    "lightning",   "rainbow",     "mountain",    "river",
    "ocean",       "island",     "forest",      "garden",      "flower",      "butterfly",
    "squirrel",    "elephant",   "giraffe",     "crocodile",   "kangaroo",    "dolphin",
    "whale",       "penguin",    "rabbit",      "hamster",     "chicken",     "turkey",
    "teacher",     "student",    "school",      "lesson",      "letter",      "number",
    "address",     "message",    "computer",    "program",     "language",    "grammar",
    "sentence",    "question",   "answer",      "problem",     "solution",    "mathematics",
    "geometry",    "algebra",    "addition",    "subtraction", "history",     "science",
    "chemistry",   "biology",    "physics",     "telescope",   "microscope",  "electricity",
    "battery",     "engine",     "bicycle",     "railway",     "airplane",    "helicopter",
    "rocket",      "planet",     "universe",    "satellite",   "journey",     "holiday",
    "passenger",   "luggage",    "hotel",       "restaurant",  "breakfast",   "chocolate",
    "cinnamon",    "tomato",     "potato",      "carrot",      "cucumber",    "lettuce",
    "onion",       "garlic",     "orange",      "pineapple",   "raspberry",   "blueberry",
    "cherry",      "peach",      "melon",       "avocado",     "family",      "mother",
    "father",      "sister",     "brother",     "daughter",    "grandmother", "grandfather",
    "neighbour",   "friend",     "stranger",    "children",    "baby",        "doctor",
    "nurse",       "hospital",   "medicine",    "engineer",    "carpenter",   "farmer",
    "fisherman",   "musician",   "painter",     "writer",      "actor",       "dancer",
    "singer",      "violin",     "trumpet",     "guitar",      "piano",       "orchestra",
    "theatre",     "cinema",     "library",     "museum",      "university",  "government",
    "president",   "minister",   "parliament",  "election",    "freedom",     "justice",
    "happiness",   "sadness",    "success",     "failure",     "courage",     "patience",
    "beginning",   "ending",     "tomorrow",    "yesterday",   "monday",      "wednesday",
    "september",   "december",   "minute",      "second",      "century",     "millennium",
    "mississippi", "tennessee",  "london",      "paris",       "canada",      "africa",
    "america",     "australia",  "antarctica",  "europe",      "assessment",  "bookkeeper",
    "committee",   "possess",    "balloon",     "mirror",      "pillow",      "blanket",
    "curtain",     "bottle",     "hammer",      "ladder",      "scissors",    "umbrella",
    "window",      "ceiling",    "furniture",   "cupboard",    "building",    "bridge",
    "castle",      "village",    "street",      "corner",      "market",      "supermarket",
    "newspaper",   "magazine",   "television",  "telephone",   "internet",    "keyboard",
    "football",    "basketball", "swimming",    "running",     "jumping",     "skiing",
    "winner",      "champion",   "medal",       "trophy",      "puzzle",      "riddle",
    "mystery",     "adventure",  "treasure",    "pirate",      "dragon",      "princess",
    "kingdom",     "soldier",    "shadow",      "darkness",    "sunshine",    "moonlight",
    "starfish",    "seashell",   "jellyfish",   "lobster",     "seagull",     "feather",
    "remember",    "forget",     "understand",  "believe",     "discover",    "imagine",
    "wonderful",   "beautiful",  "dangerous",   "careful",     "important",   "different",
    "interesting", "expensive",  "comfortable", "necessary",   "successful",  "terrible",
    "yellow",      "purple",     "silver",      "golden",      "eleven",      "twelve",
    "thirteen",    "seventeen",  "hundred",     "thousand",    "million",     "billion",
};

/* {a} the letter, {b} the word. */
static const char *const ask[] = {
    "How many times does the letter {a} occur in [the word |]\"{b}\"?",
    "How many times does {a} appear in [the word |]\"{b}\"?",
    "How many times is {a} in [the word |]{b}?",
    "How often does [the letter |]{a} [occur|appear] in [the word |]\"{b}\"?",
    "How many {a}'s are [there |]in [the word |]\"{b}\"?",
    "How many {a}'s are in {b}?",
    "How many letters {a} are in [the word |]\"{b}\"?",
    "how many {a} in {b}",
    "Count the letter {a} in [the word |]\"{b}\".",
    "Count the {a}'s in [the word |]{b}.",
    "[The word is|Take the word|Look at the word] \"{b}\". How often does it have {a}?",
};

/* A word that can be spoken, of few different letters, so that counts above one are common. */
static void draw_word(struct mk_rng *r, struct mk_str *w, int n)
{
    static const char consonants[] = "bcdfghjklmnpqrstvwxyz", vowels[] = "aeiou";
    char own[6];
    for (int i = 0; i < 4; i++) own[i] = consonants[mk_pick(r, 0, (int)sizeof consonants - 2)];
    for (int i = 4; i < 6; i++) own[i] = vowels[mk_pick(r, 0, 4)];
    bool vowel = mk_chance(r, 0.4);
    while ((int)w->len < n) {
        const char c = vowel ? own[mk_pick(r, 4, 5)] : own[mk_pick(r, 0, 3)];
        mk_str_addc(w, c);
        if (!vowel && (int)w->len < n && mk_chance(r, 0.15)) mk_str_addc(w, c);
        vowel = !vowel || mk_chance(r, 0.1);
    }
}

static int count_of(const struct mk_str *w, char c)
{
    int n = 0;
    for (size_t i = 0; i < w->len; i++) n += w->data[i] == c;
    return n;
}

/* A letter of the word, two times in three the more frequent of two, or one that may be missing. */
static char draw_letter(struct mk_rng *r, const struct mk_str *w)
{
    const int last = (int)w->len - 1;
    if (mk_chance(r, 0.12)) return (char)('a' + mk_pick(r, 0, 25));
    const char a = w->data[mk_pick(r, 0, last)], b = w->data[mk_pick(r, 0, last)];
    if (mk_chance(r, 0.33)) return a;
    return count_of(w, a) < count_of(w, b) ? b : a;
}

static void make(struct mk_problem *p, struct mk_rng *r, int level,
                 const struct mk_trace_style *style)
{
    static const int lo[] = {3, 3, 5, 15, 20}, hi[] = {4, 6, 14, 18, 24};
    const int k = level - MK_LEVEL_EASIEST;
    struct mk_str w = {0};
    mk_problem_begin(p, &mk_task_count, level);
    if (level == 0 && mk_chance(r, 0.25)) do {
            mk_str_clear(&w);
            mk_str_add(&w, MK_ANY(r, english));
        } while (w.len < 5 || w.len > 14);
    else
        draw_word(r, &w, (int)mk_pick(r, lo[k], hi[k]));
    const char letter = draw_letter(r, &w);
    mk_phrase(&p->prompt, r, MK_ANY(r, ask), (const char *[]){(char[2]){letter, 0}, w.data});

    struct mk_trace t;
    mk_trace_begin(&t, p, r, style);
    int n = 0;
    mk_trace_say(&t, "%c in %s:", letter, w.data);
    for (size_t i = 0; i < w.len; i++) {
        if (w.data[i] == letter)
            mk_trace_num(&t, ++n, "%c", letter);
        else
            mk_trace_say(&t, "%c", w.data[i]);
    }
    mk_trace_say(&t, ": %d", n);
    if (t.check) { /* the letters that were counted, once more */
        mk_trace_say(&t, "; check:");
        for (int i = 1; i <= n; i++) mk_trace_say(&t, "%c%d", letter, i);
        mk_trace_say(&t, "ok");
    }
    mk_trace_end(&t);
    mk_str_add(&p->answer, mk_num(n));
    mk_str_release(&w);
}

const struct mk_task mk_task_count = {
    .name = "count",
    .about = "how often a letter occurs in a word",
    .lo = MK_LEVEL_EASIEST,
    .hi = MK_LEVEL_HARDEST,
    .make = make,
    .verify = mk_verify_number,
};
