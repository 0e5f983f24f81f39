//! Similar names, for hints about misspelt ones.

/// Returns at most three names that are most similar to `name`. Omits names that differ much. Case and punctuation do
/// not matter.
pub(in crate::repository) fn to<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let name = plain(name);
    let mut near: Vec<(usize, &str)> = known.map(|known| (distance(&name, &plain(known)), known)).collect();
    near.sort_unstable();
    let least = near.first().map_or(0, |(distance, _)| *distance);
    let is_near = |(distance, known): &(usize, &str)| *distance == least && *distance <= (known.len() + 1) / 3;
    near.into_iter().filter(is_near).take(3).map(|(_, known)| known).collect()
}

fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Returns the number of letters of `one` to change, add or remove to get `other`.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.chars().take(40).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (column, against) in other.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *against);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_names_are_found_and_others_are_not() {
        let known = ["title", "owner.name", "a"];
        let table = [("titel", &["title"][..]), ("Owner_Name", &["owner.name"]), ("xyz", &[]), ("", &[])];
        for (name, expected) in table {
            assert_eq!(to(name, known.into_iter()), expected, "{name}");
        }
    }
}
