//! What is remembered of a service, bounded.

use std::collections::VecDeque;

use crate::status::Transition;

/// So many transitions are kept of a service.
const TRANSITIONS: usize = 20;

/// The latest transitions of a service.
#[derive(Debug, Default)]
pub(super) struct History {
    transitions: VecDeque<Transition>,
}

impl History {
    /// Remembers a transition, and forgets the oldest if there are too many.
    pub(super) fn push(&mut self, transition: Transition) {
        if self.transitions.len() == TRANSITIONS {
            self.transitions.pop_front();
        }
        self.transitions.push_back(transition);
    }

    /// The transitions, newest last.
    pub(super) fn transitions(&self) -> Vec<Transition> {
        self.transitions.iter().cloned().collect()
    }
}
