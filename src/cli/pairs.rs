//! Which message of a script is which of ours: pure, over the texts of one channel.
//!
//! First equal texts, white space aside, in the order in which they were sent. Of the rest the most alike find each other: two texts are
//! alike when at least half of the words of the longer one stand in the other, too. What is left has nobody.

use std::collections::{HashMap, HashSet, VecDeque};

/// Lines times lines that are compared one by one; beyond it all between the first and the last difference counts as different.
const COMPARED_MAX: usize = 1_000_000;

/// Numbers of messages, the script's first.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pairs {
    pub(super) same: Vec<(usize, usize)>,
    pub(super) different: Vec<(usize, usize)>,
    pub(super) only_script: Vec<usize>,
    pub(super) only_ours: Vec<usize>,
}

/// Whose line it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Both,
    Script,
    Ours,
}

pub(super) fn pair(script: &[&str], ours: &[&str]) -> Pairs {
    let (script, ours): (Vec<_>, Vec<_>) = (script.iter().map(|text| words(text)).collect(), ours.iter().map(|text| words(text)).collect());
    let mut pairs = Pairs::default();
    let mut equal: HashMap<&[&str], VecDeque<usize>> = HashMap::new();
    for (number, text) in ours.iter().enumerate() {
        equal.entry(text.as_slice()).or_default().push_back(number);
    }
    for (number, text) in script.iter().enumerate() {
        match equal.get_mut(text.as_slice()).and_then(VecDeque::pop_front) {
            Some(other) => pairs.same.push((number, other)),
            None => pairs.only_script.push(number),
        }
    }
    pairs.only_ours = equal.into_values().flatten().collect();
    pairs.only_ours.sort_unstable();
    let (mut found, mut taken) = (HashSet::new(), HashSet::new());
    for (number, other) in most_alike_first(&pairs, &script, &ours) {
        if !found.contains(&number) && !taken.contains(&other) {
            found.insert(number);
            taken.insert(other);
            pairs.different.push((number, other));
        }
    }
    pairs.different.sort_unstable();
    pairs.only_script.retain(|number| !found.contains(number));
    pairs.only_ours.retain(|other| !taken.contains(other));
    pairs
}

/// All lines of both, in order, each with whose it is.
pub(super) fn lines<'a>(script: &'a str, ours: &'a str) -> Vec<(Side, &'a str)> {
    let (old, new): (Vec<&str>, Vec<&str>) = (script.lines().collect(), ours.lines().collect());
    let same = |(one, other): &(&&str, &&str)| words(one) == words(other);
    let head = old.iter().zip(&new).take_while(same).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(same).count();
    let (old_middle, new_middle) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let both = |line: &&'a str| (Side::Both, *line);
    let mut told: Vec<(Side, &str)> = new[..head].iter().map(both).collect();
    told.extend(between(old_middle, new_middle));
    told.extend(new[new.len() - tail..].iter().map(both));
    told
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn most_alike_first(left: &Pairs, script: &[Vec<&str>], ours: &[Vec<&str>]) -> Vec<(usize, usize)> {
    let sorted = |texts: &[Vec<&'_ str>], numbers: &[usize]| -> Vec<(usize, Vec<String>)> {
        let of = |number: &usize| {
            let mut words: Vec<String> = texts[*number].iter().map(ToString::to_string).collect();
            words.sort_unstable();
            (*number, words)
        };
        numbers.iter().map(of).collect()
    };
    let (script, ours) = (sorted(script, &left.only_script), sorted(ours, &left.only_ours));
    let mut alike: Vec<(u64, usize, usize)> = Vec::new();
    for (number, words) in &script {
        for (other, others) in &ours {
            let (shared, most) = (shared(words, others), words.len().max(others.len()));
            if most > 0 && shared * 2 >= most {
                // In millionths, so that it can be put in order.
                alike.push(((shared * 1_000_000 / most) as u64, *number, *other));
            }
        }
    }
    alike.sort_unstable_by_key(|(likeness, number, other)| (std::cmp::Reverse(*likeness), *number, *other));
    alike.into_iter().map(|(_, number, other)| (number, other)).collect()
}

/// How many words two sorted lists have in common; a word that stands twice counts twice where it does so in both.
fn shared(one: &[String], other: &[String]) -> usize {
    let (mut at, mut count) = (0, 0);
    for word in one {
        at += other[at..].partition_point(|known| known < word);
        if other.get(at) == Some(word) {
            count += 1;
            at += 1;
        }
    }
    count
}

/// The longest lines that both have in one order stay; the others are one side's. The script's come first.
fn between<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(Side, &'a str)> {
    let alone = |side: Side| move |line: &&'a str| (side, *line);
    if old.len().saturating_mul(new.len()) > COMPARED_MAX {
        return old.iter().map(alone(Side::Script)).chain(new.iter().map(alone(Side::Ours))).collect();
    }
    // How many lines the rest of both has in common, from each place on.
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for (row, line) in old.iter().enumerate().rev() {
        for (column, other) in new.iter().enumerate().rev() {
            common[row][column] = match words(line) == words(other) {
                true => common[row + 1][column + 1] + 1,
                false => common[row + 1][column].max(common[row][column + 1]),
            };
        }
    }
    let (mut row, mut column, mut told) = (0, 0, Vec::new());
    while row < old.len() && column < new.len() {
        if words(old[row]) == words(new[column]) {
            told.push((Side::Both, new[column]));
            (row, column) = (row + 1, column + 1);
        } else if common[row + 1][column] >= common[row][column + 1] {
            told.push((Side::Script, old[row]));
            row += 1;
        } else {
            told.push((Side::Ours, new[column]));
            column += 1;
        }
    }
    told.extend(old[row..].iter().map(alone(Side::Script)));
    told.extend(new[column..].iter().map(alone(Side::Ours)));
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    type Numbers<'a> = &'a [(usize, usize)];

    #[test]
    fn equal_texts_first_then_the_most_alike() {
        let check = |script: &[&str], ours: &[&str], same: Numbers<'_>, different: Numbers<'_>, only: (&[usize], &[usize])| {
            let expected =
                Pairs { same: same.to_vec(), different: different.to_vec(), only_script: only.0.to_vec(), only_ours: only.1.to_vec() };
            assert_eq!(pair(script, ours), expected, "{script:?} {ours:?}");
        };
        check(&[], &[], &[], &[], (&[], &[]));
        check(&["OPS-1 is on hold"], &["OPS-1  is\non hold "], &[(0, 0)], &[], (&[], &[]));
        check(&["a b"], &["c d"], &[], &[], (&[0], &[0]));
        // Half of the longer one is enough, less is not.
        check(&["a b c d"], &["a b x y"], &[], &[(0, 0)], (&[], &[]));
        check(&["a b c d"], &["a x y z"], &[], &[], (&[0], &[0]));
        check(&["a b"], &["a b c d e"], &[], &[], (&[0], &[0]));
        // A word that stands twice is shared twice only where it does so in both.
        check(&["a a a b"], &["a c d e"], &[], &[], (&[0], &[0]));
        // As often as each side sent it.
        check(&["a", "a", "a"], &["a", "a"], &[(0, 0), (1, 1)], &[], (&[2], &[]));
        // Who has an equal one is not given to one that is only alike, and of those the most alike wins whatever the order.
        check(&["a b c x", "a b c d"], &["a b c d"], &[(1, 0)], &[], (&[0], &[]));
        check(&["a b x y", "a b c y"], &["a b c d"], &[], &[(1, 0)], (&[0], &[]));
        check(&["a b c y"], &["a b x z", "a b c d"], &[], &[(0, 1)], (&[], &[0]));
        check(&["a b 1 2", "c d 3 4"], &["c d 5 6", "a b 7 8"], &[], &[(0, 1), (1, 0)], (&[], &[]));
        check(&["", "x"], &[""], &[(0, 0)], &[], (&[1], &[]));
    }

    #[test]
    fn lines_that_differ_are_told_apart() {
        use Side::{Both, Ours, Script};
        let check = |script: &str, ours: &str, expected: &[(Side, &str)]| assert_eq!(lines(script, ours), expected, "{script:?} {ours:?}");
        check("", "", &[]);
        check("a\nb", "a \nb", &[(Both, "a "), (Both, "b")]);
        check("a\nold\nc", "a\nnew\nc", &[(Both, "a"), (Script, "old"), (Ours, "new"), (Both, "c")]);
        check("a\nb\nc\nd", "b\nx\nd", &[(Script, "a"), (Both, "b"), (Script, "c"), (Ours, "x"), (Both, "d")]);
        check("a", "a\na", &[(Both, "a"), (Ours, "a")]);
        check("a\nb", "", &[(Script, "a"), (Script, "b")]);
        let (many, more) = ("x\n".repeat(1_500), "y\n".repeat(1_500));
        assert_eq!(lines(&many, &more).len(), 3_000);
    }
}
