//! Which writes go to the disk together, and when.

use std::time::Duration;

use tokio::sync::mpsc::Receiver;

use super::{Asked, GROUP_MAX};

/// A group of so many writes is one of a crowd: the next is waited for a moment, so that it is as large. Each
/// transaction costs as much as a dozen of them.
const CROWD: usize = 8;
const LINGER: Duration = Duration::from_millis(1);
/// How long a write that [has time](Write::has_time) lets others go first: little beside the time within which a
/// claim is renewed. What was asked of the platform is on the disk already.
const PATIENCE: Duration = Duration::from_millis(50);
/// Longer than a savepoint takes to be accepted, shorter than most take.
const QUIET: Duration = Duration::from_millis(50);

/// What waits to be written.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: Receiver<Asked>,
    /// What [has time](super::Write::has_time).
    patient: Vec<Asked>,
    /// Whether the last group was one of a crowd.
    is_crowd: bool,
}

impl Queue {
    pub(super) fn new(waiting: Receiver<Asked>) -> Self {
        Self {
            waiting,
            patient: Vec::new(),
            is_crowd: false,
        }
    }

    /// Waits for what is to be written next, and adds it to the group; who has time is left for later, as long as
    /// others have none, and [not for long](PATIENCE). False once nobody writes any more.
    pub(super) async fn next(&mut self, group: &mut Vec<Asked>) -> bool {
        if self.is_crowd {
            tokio::time::sleep(LINGER).await;
        }
        if group.is_empty() && self.patient.is_empty() {
            self.waiting.recv_many(group, GROUP_MAX).await;
        }
        while group.len() < GROUP_MAX
            && let Ok(asked) = self.waiting.try_recv()
        {
            group.push(asked);
        }
        self.let_others_go_first(group);
        self.is_crowd = group.len() >= CROWD;
        !group.is_empty()
    }

    fn let_others_go_first(&mut self, group: &mut Vec<Asked>) {
        let patient = group.extract_if(.., |asked| asked.write.has_time());
        self.patient.extend(patient);
        let is_overdue = |asked: &Asked| asked.since.elapsed() >= PATIENCE;
        if group.is_empty() || self.patient.iter().any(is_overdue) {
            let room = GROUP_MAX - group.len();
            group.extend(self.patient.drain(..room.min(self.patient.len())));
        }
    }

    /// Whether nobody writes for a while; else what is to be written is in the group.
    pub(super) async fn is_quiet(&mut self, group: &mut Vec<Asked>) -> bool {
        let coming = self.waiting.recv_many(group, GROUP_MAX);
        self.patient.is_empty() && tokio::time::timeout(QUIET, coming).await.is_err()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use lowtide_core::run::Phase;
    use tokio::sync::{mpsc, oneshot};

    use super::super::{Step, Write};
    use super::*;
    use crate::tests::records::{key, slot, step};

    /// A step of an application into a phase, that waits since `since`.
    fn asked(application: &str, phase: Phase, since: Instant) -> Asked {
        let run = slot(&key(application), 0);
        let write = Write::Commit(Box::new(Step {
            run: step(&run, phase),
            savepoints: Vec::new(),
            begins: false,
            cap: None,
        }));
        Asked {
            write,
            since,
            reply: oneshot::channel().0,
        }
    }

    /// Which applications' steps are written next, and which are left, where all of these wait.
    async fn gathered(all: Vec<Asked>) -> (Vec<String>, Vec<String>) {
        let (sender, waiting) = mpsc::channel(GROUP_MAX);
        for asked in all {
            sender.send(asked).await.expect("room");
        }
        let (mut queue, mut group) = (Queue::new(waiting), Vec::new());
        assert!(queue.next(&mut group).await);
        let names = |all: &[Asked]| {
            let steps = all.iter().filter_map(|asked| asked.write.plain_step());
            steps
                .map(|step| step.run.application.application.to_string())
                .collect()
        };
        (names(&group), names(&queue.patient))
    }

    #[tokio::test]
    async fn who_has_time_lets_others_go_first() {
        let now = Instant::now();
        let both = vec![
            asked("follows", Phase::Following, now),
            asked("sends", Phase::Triggering, now),
        ];
        let (group, patient) = gathered(both).await;
        assert_eq!(
            (group, patient),
            (vec!["sends".to_owned()], vec!["follows".to_owned()])
        );
    }

    #[tokio::test]
    async fn who_has_time_does_not_wait_for_nobody() {
        let (group, _) = gathered(vec![asked("follows", Phase::Following, Instant::now())]).await;
        assert_eq!(group, ["follows"]);
    }

    #[tokio::test]
    async fn who_has_time_does_not_wait_for_long() {
        let now = Instant::now();
        let long_ago = now
            .checked_sub(PATIENCE)
            .expect("the machine runs for longer");
        let both = vec![
            asked("follows", Phase::Following, long_ago),
            asked("sends", Phase::Triggering, now),
        ];
        let (group, patient) = gathered(both).await;
        assert_eq!(group, ["sends", "follows"]);
        assert!(patient.is_empty());
    }

    #[tokio::test]
    async fn it_ends_when_nobody_can_write_any_more() {
        let mut queue = Queue::new(mpsc::channel(GROUP_MAX).1);
        assert!(!queue.next(&mut Vec::new()).await);
    }
}
