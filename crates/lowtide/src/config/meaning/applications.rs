//! Applications: which there are, where they run, and that no two get into each other's way.

use std::collections::BTreeMap;
use std::ops::Range;

use lowtide_core::engine::Application;
use lowtide_core::name::{AppKey, ApplicationName, Location, NameError, PlatformName};
use lowtide_core::schedule::HashSeed;

use super::super::APPLICATIONS_MAX;
use super::super::at::At;
use super::super::did_you_mean::did_you_mean;
use super::super::problem::Problem;
use super::super::raw::{File, Listed, Rules, Text};
use super::Reader;
use super::platforms::Platforms;
use super::rules::Asked;

/// The longest name of a job in bytes; Flink sets no limit, this keeps messages readable.
const JOB_BYTES_MAX: usize = 1_024;

/// Where things that must be unlike were first written.
#[derive(Default)]
struct Taken {
    keys: BTreeMap<AppKey, Range<usize>>,
    directories: BTreeMap<(Location, ApplicationName), (PlatformName, Range<usize>)>,
}

impl Reader<'_> {
    pub(super) fn applications(&mut self, file: &File, platforms: &Platforms) -> Vec<Application> {
        if let Some(first) = file.applications.get(APPLICATIONS_MAX) {
            let found = file.applications.len();
            self.refuse(Problem::new(
                first.span.start..first.span.start,
                format!("there are {found} applications, more than {APPLICATIONS_MAX}"),
            ));
            return Vec::new();
        }
        let defaults = self.defaults(file);
        self.check_defaults(file, defaults, platforms);
        let mut taken = Taken::default();
        file.applications
            .iter()
            .filter_map(|listed| self.application(listed, file, defaults, platforms, &mut taken))
            .collect()
    }

    /// `schedule` and `every` may also stand at the top of the file, but not in both places.
    fn defaults<'a>(&mut self, file: &'a File) -> Rules<'a> {
        let mut defaults = file
            .defaults
            .as_ref()
            .map_or_else(Rules::default, |defaults| defaults.rules());
        let top = file.schedule.as_ref().or(file.every.as_ref());
        let below = defaults.schedule.or(defaults.every);
        if let (Some(top), Some(below)) = (top, below) {
            self.refuse(
                Problem::new(
                    below.span.clone(),
                    "there is a schedule at the top of the file and another in `defaults`",
                )
                .also(top.span.clone(), "the one at the top")
                .hint("remove one of the two"),
            );
        }
        if top.is_some() {
            defaults.schedule = file.schedule.as_ref();
            defaults.every = file.every.as_ref();
        }
        defaults
    }

    /// Defaults are read once for their own sake: a mistake in them is one also while every
    /// application says otherwise.
    fn check_defaults(&mut self, file: &File, defaults: Rules<'_>, platforms: &Platforms) {
        if let Some(platform) = defaults.platform {
            self.known_platform(platform, platforms);
        }
        // What the rules come to is of no use without an application; their problems are kept.
        let _ = self.policy(&Asked {
            seed: HashSeed {
                platform: "",
                application: "",
            },
            job: "",
            own: Rules::default(),
            defaults,
            timezone: file.timezone.as_ref(),
            platform: None,
        });
    }

    fn application(
        &mut self,
        listed: &At<Listed>,
        file: &File,
        defaults: Rules<'_>,
        platforms: &Platforms,
        taken: &mut Taken,
    ) -> Option<Application> {
        let (name, job, own) = match &listed.value {
            Listed::Name(name) => {
                let name = Text {
                    value: name.clone(),
                    span: listed.span.clone(),
                };
                (name, None, Rules::default())
            }
            Listed::Map(map) => (map.name.clone(), map.job.as_ref(), map.rules()),
        };
        let platform = self.platform_of(&name, own.platform.or(defaults.platform), platforms);
        let application = self.application_name(&name);
        if let Some(job) = job {
            self.check_job(job);
        }
        let policy = self.policy(&Asked {
            seed: HashSeed {
                platform: platform.as_ref().map_or("", |name| name.as_str()),
                application: &name.value,
            },
            job: job.map_or(&name.value, |job| &job.value),
            own,
            defaults,
            timezone: file.timezone.as_ref(),
            platform: platform
                .as_ref()
                .and_then(|name| platforms.traits.get(name))
                .copied(),
        });
        let key = AppKey {
            platform: platform?,
            application: application?,
        };
        self.refuse_twice(&key, &name, taken);
        let chooses_directory = policy.as_ref().is_some_and(|rules| rules.target.is_some());
        if let Some(target) = own.target.or(defaults.target).filter(|_| chooses_directory) {
            self.refuse_shared_directory(&key, &name, target, taken);
        }
        Some(Application {
            key,
            policy: policy?,
        })
    }

    fn application_name(&mut self, name: &Text) -> Option<ApplicationName> {
        match ApplicationName::new(name.value.as_str()) {
            Ok(name) => Some(name),
            Err(error) => {
                let problem = Problem::new(name.span.clone(), error.to_string());
                self.refuse(match error {
                    NameError::Empty => problem,
                    NameError::Long(_) | NameError::Character(_) => problem
                        .hint("if the job is called that, write a `name` of your own and `job: …`"),
                });
                None
            }
        }
    }

    fn check_job(&mut self, job: &Text) {
        if job.value.is_empty() || job.value.len() > JOB_BYTES_MAX {
            self.refuse(Problem::new(
                job.span.clone(),
                format!("the name of a job has 1 to {JOB_BYTES_MAX} bytes"),
            ));
        }
    }

    fn platform_of(
        &mut self,
        name: &Text,
        written: Option<&Text>,
        platforms: &Platforms,
    ) -> Option<PlatformName> {
        if let Some(written) = written {
            return self.known_platform(written, platforms);
        }
        let mut names = platforms.traits.keys();
        match (names.next(), names.next()) {
            (Some(only), None) => Some(only.clone()),
            (None, _) => {
                self.refuse(
                    Problem::new(
                        name.span.clone(),
                        format!(
                            "`{}` has nowhere to run: there are no platforms",
                            name.value
                        ),
                    )
                    .hint("write `platforms: { NAME: { flink: { url: … } } }`, or another kind"),
                );
                None
            }
            (Some(_), Some(_)) => {
                self.refuse(
                    Problem::new(
                        name.span.clone(),
                        format!("`{}` names no platform, and there are several", name.value),
                    )
                    .hint("write `platform:` here, or under `defaults:`")
                    .hint(platform_list(platforms)),
                );
                None
            }
        }
    }

    fn known_platform(&mut self, written: &Text, platforms: &Platforms) -> Option<PlatformName> {
        let mut names = platforms.traits.keys();
        if let Some(name) = names.find(|name| name.as_str() == written.value) {
            return Some(name.clone());
        }
        let problem = Problem::new(
            written.span.clone(),
            format!("there is no platform `{}`", written.value),
        );
        let known = platforms.traits.keys().map(PlatformName::as_str);
        self.refuse(match did_you_mean(&written.value, known) {
            Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
            None => problem.hint(platform_list(platforms)),
        });
        None
    }

    fn refuse_twice(&mut self, key: &AppKey, name: &Text, taken: &mut Taken) {
        if let Some(first) = taken.keys.get(key) {
            let problem = Problem::new(name.span.clone(), format!("{key} is listed twice"))
                .also(first.clone(), "first here")
                .hint("remove one of the two");
            self.refuse(problem);
            return;
        }
        taken.keys.insert(key.clone(), name.span.clone());
    }

    /// A savepoint lies in `<target>/<application>/<slot>`, where the platform does not appear:
    /// two applications of one name and slot would write into one directory.
    fn refuse_shared_directory(
        &mut self,
        key: &AppKey,
        name: &Text,
        target: &Text,
        taken: &mut Taken,
    ) {
        let directory = (Location::new(&target.value), key.application.clone());
        match taken.directories.get(&directory) {
            Some((platform, first)) if *platform != key.platform => {
                let problem = Problem::new(
                    name.span.clone(),
                    format!(
                        "{key} and {platform}/{} would write to the same directory, {}/{}",
                        key.application, directory.0, key.application
                    ),
                )
                .also(first.clone(), "the other one")
                .hint("give one of them a `target` of its own");
                self.refuse(problem);
            }
            Some(_) => {}
            None => {
                let place = (key.platform.clone(), name.span.clone());
                taken.directories.insert(directory, place);
            }
        }
    }
}

fn platform_list(platforms: &Platforms) -> String {
    let names: Vec<String> = platforms
        .traits
        .keys()
        .map(|name| format!("`{name}`"))
        .collect();
    if names.is_empty() {
        "there are no platforms".to_owned()
    } else {
        format!("the platforms are {}", names.join(", "))
    }
}
