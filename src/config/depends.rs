//! `depends_on`: every key exists, and no service needs itself, directly or through others.

use std::collections::HashMap;

use super::decode::{Decode, nearest};
use super::service::{Draft, Reference};

/// Notes unknown services, services that need themselves, and circles.
pub(super) fn check(decode: &mut Decode<'_>, drafts: &[Draft]) {
    let by_key: HashMap<&str, usize> =
        drafts.iter().enumerate().map(|(index, draft)| (draft.service.key.as_str(), index)).collect();
    // needs[service]: what it needs, with the number of the node that says so.
    let mut needs: Vec<Vec<(usize, u32)>> = vec![Vec::new(); drafts.len()];
    for (index, draft) in drafts.iter().enumerate() {
        for reference in &draft.references {
            match by_key.get(reference.key.as_str()) {
                Some(&other) if other == index => {
                    let message = format!("found {}, the service itself", reference.written);
                    decode.complain_at(reference.id, message, "remove it: a service cannot wait for itself");
                }
                Some(&other) => needs[index].push((other, reference.id)),
                None => unknown(decode, reference, drafts),
            }
        }
    }
    circles(decode, drafts, &needs);
}

fn unknown(decode: &mut Decode<'_>, reference: &Reference, drafts: &[Draft]) {
    let help = match nearest(&reference.key, drafts.iter().map(|draft| draft.service.key.as_str())) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "write the `key` of a service of this configuration".to_owned(),
    };
    let message = format!("found {}, which is no service's key", reference.written);
    decode.complain_at(reference.id, message, help);
}

/// Takes away, again and again, the services whose needs have all been taken away. What stays is in a circle, or
/// needs something in one.
fn circles(decode: &mut Decode<'_>, drafts: &[Draft], needs: &[Vec<(usize, u32)>]) {
    let mut needed_by: Vec<Vec<usize>> = vec![Vec::new(); drafts.len()];
    let mut open: Vec<usize> = needs.iter().map(Vec::len).collect();
    for (index, needs) in needs.iter().enumerate() {
        for &(other, _) in needs {
            needed_by[other].push(index);
        }
    }
    let mut settled = vec![false; drafts.len()];
    let mut free: Vec<usize> = (0..drafts.len()).filter(|&index| open[index] == 0).collect();
    let mut next = 0;
    loop {
        while let Some(index) = free.pop() {
            if std::mem::replace(&mut settled[index], true) {
                continue;
            }
            for &dependent in &needed_by[index] {
                open[dependent] -= 1;
                if open[dependent] == 0 {
                    free.push(dependent);
                }
            }
        }
        while next < drafts.len() && settled[next] {
            next += 1;
        }
        if next == drafts.len() {
            return;
        }
        let circle = circle_from(next, needs, &settled);
        complain(decode, drafts, needs, &circle);
        // The circle is told once; what is left may hold another.
        free = circle;
    }
}

/// Walks from need to need until a service comes twice. Every service that is left needs another one that is left.
fn circle_from(start: usize, needs: &[Vec<(usize, u32)>], settled: &[bool]) -> Vec<usize> {
    let mut walk = vec![start];
    let mut position = HashMap::from([(start, 0)]);
    let mut here = start;
    while let Some(&(other, _)) = needs[here].iter().find(|(other, _)| !settled[*other]) {
        if let Some(&begin) = position.get(&other) {
            return walk.split_off(begin);
        }
        position.insert(other, walk.len());
        walk.push(other);
        here = other;
    }
    walk
}

fn complain(decode: &mut Decode<'_>, drafts: &[Draft], needs: &[Vec<(usize, u32)>], circle: &[usize]) {
    // Told at the service that stands first in the file, whichever the walk came to first.
    let Some((at, &first)) = circle.iter().enumerate().min_by_key(|(_, index)| **index) else {
        return;
    };
    let second = circle[(at + 1) % circle.len()];
    let Some(&(_, id)) = needs[first].iter().find(|(other, _)| *other == second) else {
        return;
    };
    let keys: Vec<&str> = (0..=circle.len())
        .map(|step| drafts[circle[(at + step) % circle.len()]].service.key.as_str())
        .collect();
    let message = format!("found a circle: {}", shown_keys(&keys));
    decode.complain_at(id, message, "remove one of these dependencies");
}

fn shown_keys(keys: &[&str]) -> String {
    match keys {
        [first, second, .., last] if keys.len() > 8 => {
            format!("{first} -> {second} -> ... ({} services) -> {last}", keys.len() - 1)
        }
        _ => keys.join(" -> "),
    }
}
