"""Compiled: what the rules count of texts whose words are known, without the GIL. `textstats_twin` specifies it.

Time goes into branches that cannot be foretold, so the loops have few: sixteen characters are compared at once, words
of up to eight are taken as four loads, and lists of candidates are thinned out without asking. Repetition is counted
exactly, without hashing n-grams: an n-gram is named by the name of its first n - 1 words and its last word (Karp,
Miller and Rosenberg), and only places where both (n-1)-grams in it occur twice are looked at again. Helpers come first:
numba compiles a function with a signature where it stands.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from pipeline.kernels.characters import BULLET, DASH, DIGIT, LETTER, PUNCTUATION, SPACE, STOP_SLOTS, SYMBOL, TERMINAL
from pipeline.kernels.columns import LONGEST_WORD, PLACES, SHORT_LINE, SHORTEST_LINE

CHARACTERS, TOKENS, WORDS, WORD_CHARACTERS, ALPHABETIC, HASH_SIGNS, ELLIPSES, STOP_WORDS = PLACES[:8]
LINES, BULLET_LINES, ELLIPSIS_LINES, TERMINAL_LINES, SHORT_LINES, NEWLINES = PLACES[8:14]
REPEATED_LINES, REPEATED_LINE_CHARACTERS = PLACES[14:16]
PARAGRAPHS, REPEATED_PARAGRAPHS, REPEATED_PARAGRAPH_CHARACTERS = PLACES[16:19]
TOP_2, REPEATED_5 = PLACES[19], PLACES[22]
LOREM, CURLY, SENTENCES = PLACES[28:31]
ANY_END = 3
"""The three columns of C4 come twice: for lines that end in a mark, and from here on for lines with any end."""

_jit = njit(cache=True, nogil=True, error_model="numpy", _nrt=False, forceinline=True)
# No references are counted, so no helper allocates; and inlined, or each array would be seven arguments of each call.
_ROUND, _MIX, _SWIRL = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC4CEB9FE1A85EC53)
_WIDE = np.uint64(0xFFFFFF00FFFFFF00)
_HALVES = np.array([(1 << 32 * min(max(n - at, 0), 2)) - 1 for n in range(9) for at in (0, 2, 4, 6)], np.uint64)
"""For n characters, which of each of four pairs are among them."""
_LANES = 16


def _codes(text: str) -> np.ndarray:
    return np.array([ord(character) for character in text], np.uint32)


_LOREM, _JAVASCRIPT, _TERMS, _PRIVACY = map(_codes, ("lorem ipsum", "javascript", "terms of use", "privacy policy"))
_POLICY, _USES, _USE_OF, _USE = map(_codes, ("cookie policy", "uses cookies", "use of cookies", "use cookies"))
_SAID_LOREM, _SAID_JAVASCRIPT, _SAID_CURLY, _SAID_POLICY = 1, 2, 4, 8


@intrinsic
def _two(typing: Any, base: Any, at: Any) -> Any:
    """Two characters as one number."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], ir.IntType(32).as_pointer())
        place = builder.gep(pointer, [arguments[1]], source_etype=ir.IntType(32))
        return builder.load(place, align=4, typ=ir.IntType(64))

    return types.uint64(types.uint64, types.int64), emit


@intrinsic
def _where(typing: Any, base: Any, at: Any, value: Any) -> Any:
    """The bits of those of sixteen characters that are this one."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number, vector = ir.IntType(32), ir.VectorType(ir.IntType(32), _LANES)
        pointer = builder.inttoptr(arguments[0], number.as_pointer())
        read = builder.load(builder.gep(pointer, [arguments[1]], source_etype=number), align=4, typ=vector)
        one = builder.insert_element(ir.Constant(vector, ir.Undefined), arguments[2], ir.Constant(number, 0))
        all_lanes = ir.Constant(ir.VectorType(number, _LANES), [0] * _LANES)
        splat = builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), all_lanes)
        bits = builder.bitcast(builder.icmp_unsigned("==", read, splat), ir.IntType(_LANES))
        return builder.zext(bits, ir.IntType(64))

    return types.uint64(types.uint64, types.int64, types.uint32), emit


@intrinsic
def _lowest(typing: Any, bits: Any) -> Any:
    """The number of the lowest bit that is set."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], cgutils.false_bit)

    return types.int64(types.uint64), emit


@intrinsic
def _set(typing: Any, bits: Any) -> Any:
    """How many bits are set."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), emit


@_jit
def _same(points, one, other, n):
    for at in range(n):
        if points[one + at] != points[other + at]:
            return False
    return True


@_jit
def _hashed(base, s, e):
    """Two products side by side, four characters a turn."""
    one, other, at = np.uint64(e - s), _SWIRL, s
    while at + 4 <= e:
        one, other = (one ^ _two(base, at)) * _MIX, (other ^ _two(base, at + 2)) * _SWIRL
        at += 4
    left = 4 * (e - at)
    one = (one ^ _two(base, at) & _HALVES[left]) * _MIX
    value = one ^ (other ^ _two(base, at + 2) & _HALVES[left + 1]) * _SWIRL
    return value ^ value >> np.uint64(29)


@_jit
def _enter(points, s, e, value, known_by_value, table, mask, values, first, final, n):
    """The number of the entry with the same characters, or `n` where they are entered as a new one.

    `known_by_value`: the same value and length mean the same characters.
    """
    slot = np.int64((value * _ROUND) >> np.uint64(32)) & mask
    while table[slot] >= 0:
        known = table[slot]
        if values[known] == value and final[known] - first[known] == e - s:
            if known_by_value or _same(points, first[known], s, e - s):
                return np.int64(known)
        slot = (slot + 1) & mask
    table[slot], values[n], first[n], final[n] = n, value, s, e
    return n


@_jit
def _cleared(table, n):
    """Makes room in the table for n entries, all free; returns the last place of it, a mask."""
    size = 8
    while size < 2 * n:
        size *= 2
    for slot in range(size):
        table[slot] = -1
    return size - 1


@_jit
def _reads(points, at, s, e, words):
    """Whether ASCII letters and blanks stand here, in any case."""
    if at < s or at + len(words) > e:
        return False
    for place in range(len(words)):
        point = points[at + place]
        if (point | np.uint32(0x20) if words[place] != 32 else point) != words[place]:
            return False
    return True


@_jit
def _sentences(points, flags, s, e, token_starts, token_ends, k, last):
    """How many sentences the words from `k` on that begin before `e` make, and the first word behind them."""
    while k < last and token_starts[k] < s:
        k += 1
    count, ended = 0, False
    while k < last and token_starts[k] < e:
        count = max(count, 1)
        start, end = token_starts[k], token_ends[k]
        if end - start == 1 and flags[points[start]] & TERMINAL:
            ended = True
        elif ended:
            for at in range(start, end):
                if not flags[points[at]] & PUNCTUATION:
                    count, ended = count + 1, False
                    break
        k += 1
    return count, k


@_jit
def _is_suspect(points, a, b):
    """Whether a line may have one of the phrases of `_said`: a part of each is looked for, without branches."""
    found = np.uint32(0)
    for at in range(np.uint64(a), np.uint64(b)):
        one, two = points[at] | np.uint32(32), points[at + np.uint64(1)] | np.uint32(32)
        three, four = points[at + np.uint64(2)] | np.uint32(32), points[at + np.uint64(3)] | np.uint32(32)
        found |= (
            np.uint32(points[at] == 123)
            | (np.uint32(one == 106) & np.uint32(two == 97) & np.uint32(three == 118))  # jav
            | (np.uint32(one == 111) & np.uint32(two == 107) & np.uint32(three == 105))  # oki
            | (np.uint32(one == 109) & np.uint32(two == 32) & np.uint32(three == 105) & np.uint32(four == 112))  # m ip
            | (np.uint32(one == 99) & np.uint32(two == 121) & np.uint32(three == 32) & np.uint32(four == 112))  # cy p
            | (np.uint32(one == 102) & np.uint32(two == 32) & np.uint32(three == 117) & np.uint32(four == 115))  # f us
        )
    return found > 0


@_jit
def _said(points, a, b):
    """Bits of what is said in a line: filler text, JavaScript, a curly bracket, talk of terms and cookies."""
    said = 0
    for at in range(a, b):
        point = points[at]
        if point == 123:
            said |= _SAID_CURLY
        elif point | np.uint32(0x20) == 106:
            said |= _SAID_JAVASCRIPT * _reads(points, at, a, b, _JAVASCRIPT)
        elif point == 32:
            ahead = points[at + 1] | np.uint32(0x20)
            policy = False
            if ahead == 105:
                said |= _SAID_LOREM * _reads(points, at - 5, a, b, _LOREM)
            elif ahead == 117:
                policy = _reads(points, at - 8, a, b, _TERMS)
            elif ahead == 112:
                policy = _reads(points, at - 7, a, b, _PRIVACY) or _reads(points, at - 6, a, b, _POLICY)
            elif ahead == 99:
                policy = (
                    _reads(points, at - 4, a, b, _USES)
                    or _reads(points, at - 3, a, b, _USE)
                    or _reads(points, at - 6, a, b, _USE_OF)
                )
            said |= _SAID_POLICY * policy
    return said


@_jit
def _has_words(points, flags, a, b):
    """Whether a line has enough words and none that is too long, both between white space."""
    if b - a > LONGEST_WORD:
        begin = a
        for at in range(a, b):
            if flags[points[at]] & SPACE:
                if at - begin > LONGEST_WORD:
                    return False
                begin = at + 1
        if b - begin > LONGEST_WORD:
            return False
    n_words = 1
    for at in range(a + 1, b):
        # The first character of a word behind white space.
        n_words += flags[points[at - 1]] & SPACE > 0 and not flags[points[at]] & SPACE
        if n_words == SHORTEST_LINE:
            return True
    return False


@_jit
def _has_end(points, flags, a, b):
    """Whether a line ends in a mark of C4's, references in brackets aside."""
    end = b
    while end - a > 1 and points[end - 1] == 93:
        bracket = end - 2
        while bracket > a and flags[points[bracket]] & DIGIT:
            bracket -= 1
        if points[bracket] != 91:
            break
        end = bracket
    if end == a:
        return False
    point = points[end - 1]
    if point == 46 and end - a > 2 and points[end - 2] == 46 and points[end - 3] == 46:
        return False
    return point == 46 or point == 63 or point == 33 or point == 34 or point == 39


@_jit
def _c4(points, flags, a, b, token_starts, token_ends, k, last, out):
    """The rules of C4 on one line without white space around it; returns the first word behind it."""
    if not _has_words(points, flags, a, b):
        return k
    said = _said(points, a, b) if _is_suspect(points, a, b) else 0
    if said & _SAID_LOREM:
        place, count = LOREM, 1
    elif said & _SAID_CURLY and not said & _SAID_JAVASCRIPT:
        place, count = CURLY, 1
    elif said:
        return k
    else:
        place = SENTENCES
        count, k = _sentences(points, flags, a, b, token_starts, token_ends, k, last)
    out[place + ANY_END] += count
    if _has_end(points, flags, a, b):
        out[place] += count
    return k


@_jit
def _marks(base, start, end, line_ends, out):
    """Where lines end, the last at the end of the text; and the signs that are counted wherever they stand."""
    n_lines = n_hash_signs = n_ellipses = run = 0
    before = np.int64(-2)
    at = start
    while at < end:
        here = np.uint64((1 << min(end - at, _LANES)) - 1)
        n_hash_signs += _set(_where(base, at, np.uint32(35)) & here)
        breaks = _where(base, at, np.uint32(10)) & here
        while breaks:
            line_ends[n_lines] = at + _lowest(breaks)
            n_lines += 1
            breaks &= breaks - np.uint64(1)
        stops = _where(base, at, np.uint32(46)) & here
        full = _where(base, at, np.uint32(0x3002)) & here
        open_ends = _where(base, at, np.uint32(0x2026)) & here
        dots = stops | full | open_ends
        while dots:
            bit = dots & (~dots + np.uint64(1))
            # A place behind a sign of the same kind, of which three there are, is one more of the run.
            kind = 1 if stops & bit else 2 if full & bit else 3
            place = 4 * (at + _lowest(bit)) + kind
            run = run + 1 if place - before == 4 else 1
            before = place
            n_ellipses += run == (1 if kind == 3 else 3)
            dots ^= bit
        at += _LANES
    line_ends[n_lines] = end
    out[NEWLINES], out[HASH_SIGNS], out[ELLIPSES] = n_lines, n_hash_signs, n_ellipses


@_jit
def _line(points, flags, s, e, out):
    """What a line that is not blank is, by its ends; returns where it begins and ends without white space."""
    a, b = s, e
    while a < b and flags[points[a]] & SPACE:
        a += 1
    while b > a and flags[points[b - 1]] & SPACE:
        b -= 1
    if a == b:
        return a, b
    out[LINES] += 1
    out[SHORT_LINES] += e - s <= SHORT_LINE
    last = points[b - 1]
    out[TERMINAL_LINES] += flags[points[e - 1]] & TERMINAL > 0
    out[BULLET_LINES] += flags[points[a]] & BULLET > 0 or (
        flags[points[a]] & DASH > 0 and a + 1 < b and flags[points[a + 1]] & SPACE > 0
    )
    out[ELLIPSIS_LINES] += last == 0x2026 or (
        (last == 46 or last == 0x3002) and b - a > 2 and points[b - 2] == last and points[b - 3] == last
    )
    return a, b


@_jit
def _lines(points, base, flags, start, token_starts, token_ends, k, last, line_ends, hashes, table, values, first,
           final, out):  # fmt: skip
    n_lines = 0
    mask = _cleared(table, out[NEWLINES] + 1)
    s = start
    for line in range(out[NEWLINES] + 1):
        e = np.int64(line_ends[line])
        hashes[line] = _hashed(base, s, e)
        if e > s:
            a, b = _line(points, flags, s, e, out)
            if a < b:
                if _enter(points, s, e, hashes[line], False, table, mask, values, first, final, n_lines) == n_lines:
                    n_lines += 1
                else:
                    out[REPEATED_LINES] += 1
                    out[REPEATED_LINE_CHARACTERS] += e - s
                k = _c4(points, flags, a, b, token_starts, token_ends, k, last, out)
        s = e + 1


@_jit
def _paragraphs(points, base, flags, start, end, line_ends, hashes, table, values, first, final, out):
    """Paragraphs of the text without white space around it: lines up to one that is empty."""
    a, b = start, end
    while a < b and flags[points[a]] & SPACE:
        a += 1
    while b > a and flags[points[b - 1]] & SPACE:
        b -= 1
    mask = _cleared(table, out[NEWLINES] + 1)
    n_paragraphs = 0
    value, begin, s = np.uint64(0), a, start
    for line in range(out[NEWLINES] + 1):
        e = np.int64(line_ends[line])
        if e > a and s < b:
            if e > s:
                begin = begin if value else max(s, a)
                whole = s >= a and e <= b
                of_line = hashes[line] if whole else _hashed(base, max(s, a), min(e, b))
                value = (value ^ of_line) * _MIX | np.uint64(1)
            if value and (e >= b or points[e + 1] == 10):
                stop = min(e, b)
                entered = _enter(points, begin, stop, value, False, table, mask, values, first, final, n_paragraphs)
                out[PARAGRAPHS] += 1
                if entered == n_paragraphs:
                    n_paragraphs += 1
                else:
                    out[REPEATED_PARAGRAPHS] += 1
                    out[REPEATED_PARAGRAPH_CHARACTERS] += stop - begin
                value = np.uint64(0)
        s = e + 1


@_jit
def _stop_words(points, lower, first, final, n_names, stops, slots, out):
    """Distinct listed words among the different tokens; see `characters.StopWords`."""
    met = np.uint64(0)
    for name in range(n_names):
        s, n = np.int64(first[name]), np.int64(final[name] - first[name])
        slot = (np.int64(lower[points[s]]) * 37 + np.int64(lower[points[s + n - 1]]) * 5 + n) & (STOP_SLOTS - 1)
        at = np.int64(slots[slot])
        while at >= 0 and stops[at] == slot:
            size = np.int64(stops[at + 2])
            place = 0 if size == n else size
            while place < size and lower[points[s + place]] == stops[at + 3 + place]:
                place += 1
            if size == n == place:
                met |= np.uint64(1) << np.uint64(stops[at + 1])
            at += size + 3
    out[STOP_WORDS] = _set(met)


@_jit
def _gram(names, words, at, n):
    """A run of n words by the name of the run without its last word, and that word; never 0."""
    return (np.uint64(names[at]) << np.uint64(32) | np.uint64(words[at + n - 1])) + np.uint64(1)


@_jit
def _thinned(names, words, n, chosen, n_chosen, buckets):
    """Of the places of repeated runs of n - 1 words, those where one of n may be repeated; how many they are."""
    kept = 0
    chosen[n_chosen] = -1
    for place in range(n_chosen):
        at, ahead = chosen[place], chosen[place + 1]
        chosen[kept] = at
        kept += ahead == at + 1
    n_chosen = kept
    if n > 3:
        return n_chosen
    # Short runs: what is alone in its bucket cannot occur twice.
    size = 64
    while size < 8 * n_chosen:
        size *= 2
    for bucket in range(size):
        buckets[bucket] = 0
    for place in range(n_chosen):
        bucket = np.int64((_gram(names, words, chosen[place], n) * _MIX) >> np.uint64(33)) & (size - 1)
        buckets[bucket] = min(buckets[bucket] + 1, 2)
    kept = 0
    for place in range(n_chosen):
        at = chosen[place]
        bucket = np.int64((_gram(names, words, at, n) * _MIX) >> np.uint64(33)) & (size - 1)
        chosen[kept] = at
        kept += buckets[bucket] > 1
    return kept


@_jit
def _named(names, words, n, chosen, n_chosen, keys, counts):
    """Name the runs of n words at these places by their place in a table, and count each; returns the table's size."""
    size, shift = 8, np.uint64(61)
    while size < 2 * n_chosen:
        size, shift = 2 * size, shift - np.uint64(1)
    for slot in range(size):
        keys[slot] = counts[slot] = 0
    for place in range(n_chosen):
        at = chosen[place]
        key = _gram(names, words, at, n)
        slot = np.int64((key * _MIX) >> shift)
        while (keys[slot] != key) & (keys[slot] != 0):
            slot = (slot + 1) & (size - 1)
        keys[slot] = key
        counts[slot] += 1
        names[at] = slot
    return size


@_jit
def _grams(ends, names, words, n_tokens, counts, chosen, keys, buckets, out):
    """Runs of 2 to 10 tokens. `words` are the tokens' own numbers, `ends` the sums of their lengths."""
    n_chosen = 0
    for at in range(n_tokens):
        names[at] = words[at]
        chosen[n_chosen] = at
        n_chosen += counts[words[at]] > 1
    for n in range(2, min(n_tokens, 4) + 1):
        out[TOP_2 + n - 2] = ends[n] + n - 1
    for n in range(2, 11):
        n_chosen = _thinned(names, words, n, chosen, n_chosen, buckets)
        if n_chosen < 2:
            return
        size = _named(names, words, n, chosen, n_chosen, keys, counts)
        kept = 0
        if n <= 4:
            best = 1
            for place in range(n_chosen):
                at = chosen[place]
                count = counts[names[at]]
                chosen[kept] = at
                kept += count > 1
                if count > best:
                    best = count
                    out[TOP_2 + n - 2] = (ends[at + n] - ends[at] + n - 1) * count
        else:
            seen = buckets
            for slot in range(size):
                seen[slot] = 0
            free = repeated = 0
            for place in range(n_chosen):
                at = chosen[place]
                name = names[at]
                chosen[kept] = at
                kept += counts[name] > 1
                met = np.uint8(at >= free)
                again = met & seen[name]
                seen[name] |= met
                repeated += again * (ends[at + n] - ends[at])
                free = at + n if again else free
            out[REPEATED_5 + n - 5] = repeated
        n_chosen = kept


@_jit
def _tokens(points, base, flags, token_starts, token_ends, k, last, table, values, first, final, words, counts, ends,
            out):  # fmt: skip
    """Number the tokens and count what each one is; returns how many different ones there are."""
    mask = _cleared(table, last - k)
    n_names = n_alphabetic = n_words = n_characters = 0
    ends[0] = 0
    for token in range(k, last):
        s, e = np.int64(token_starts[token]), np.int64(token_ends[token])
        flag = flags[points[s]]
        if flag & LETTER and not flag & SYMBOL:
            n_alphabetic += 1
            n_words += 1
            n_characters += e - s
        else:
            every, some = flag, flag
            for at in range(s + 1, e):
                every &= flags[points[at]]
                some |= flags[points[at]]
            n_alphabetic += some & LETTER > 0
            n_words += not every & SYMBOL
            n_characters += 0 if every & SYMBOL else e - s
        if e - s <= 8:
            n = 4 * (e - s)
            one, two = _two(base, s) & _HALVES[n], _two(base, s + 2) & _HALVES[n + 1]
            three, four = _two(base, s + 4) & _HALVES[n + 2], _two(base, s + 6) & _HALVES[n + 3]
            # Characters of a byte fill eight lanes; of wider ones, two do.
            whole = e - s <= 2 or not (one | two | three | four) & _WIDE
            value = one ^ two << np.uint64(8) ^ three << np.uint64(16) ^ four << np.uint64(24)
        else:
            whole, value = False, _hashed(base, s, e)
        name = _enter(points, s, e, value, whole, table, mask, values, first, final, n_names)
        counts[name] = 1 if name == n_names else counts[name] + 1
        n_names += name == n_names
        words[token - k] = name
        ends[token - k + 1] = ends[token - k] + e - s
    out[ALPHABETIC], out[WORDS], out[WORD_CHARACTERS] = n_alphabetic, n_words, n_characters
    return n_names


_COUNT = "void(u4[::1], i8[::1], i4[::1], i4[::1], i8[::1], u4[::1], u4[::1], u4[::1], i4[:,::1], i4[::1], i8[:,::1])"


@njit(_COUNT, cache=True, nogil=True)
def count(points, starts, token_starts, token_ends, token_counts, flags, lower, stops, slots, langs, table):
    """The columns of each text, whose words are `token_counts[row]` places from `starts[row]` on.

    Behind the last text, `points` has room for sixteen characters more.
    """
    longest = 0
    for row in range(len(starts) - 1):
        longest = max(longest, starts[row + 1] - starts[row])
    size = 64
    while size < 2 * (longest + 1):
        size *= 2
    base = np.uint64(points.ctypes.data)
    free, counts = np.empty(size, np.int32), np.empty(size, np.int32)
    keys, buckets = np.empty(size, np.uint64), np.empty(4 * size, np.uint8)
    first, final = np.empty(longest + 2, np.int32), np.empty(longest + 2, np.int32)
    names, words = np.empty(longest + 2, np.int32), np.empty(longest + 2, np.int32)
    chosen = np.empty(longest + 2, np.int32)
    ends, values = np.empty(longest + 2, np.int64), np.empty(longest + 2, np.uint64)
    for row in range(len(starts) - 1):
        out = table[row]
        out[:] = 0
        start, end = starts[row], starts[row + 1]
        out[CHARACTERS], out[TOKENS] = end - start, token_counts[row]
        k, last = start, start + token_counts[row]
        _marks(base, start, end, words, out)
        _lines(
            points, base, flags, start, token_starts, token_ends, k, last, words, keys, free, values, first, final, out
        )
        _paragraphs(points, base, flags, start, end, words, keys, free, values, first, final, out)
        n_names = _tokens(
            points, base, flags, token_starts, token_ends, k, last, free, values, first, final, words, counts, ends, out
        )
        lang = langs[row]
        if lang < 0:
            out[STOP_WORDS] = -1
        else:
            _stop_words(points, lower, first, final, n_names, stops, slots[lang], out)
        _grams(ends, names, words, token_counts[row], counts, chosen, keys, buckets, out)
