//! Golden items of DynamoDB: what the tables' adapters write and read, through the real SDK. As the other fixtures, the file is
//! never written over; `GOLDEN_WRITE=1` writes it when it is missing.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use integration_tests::stores::AwsStores;
use integration_tests::{Value, json, settings};
use shared::adapters::dynamodb::applications::Applications;
use shared::adapters::dynamodb::deliveries::{Deliveries, Recipient, Settlement};
use shared::adapters::dynamodb::devices::{Devices, Sighting};
use shared::adapters::dynamodb::keys::{Keys, WrappedRing};
use shared::adapters::dynamodb::revocations::Revocations;
use shared::adapters::dynamodb::subject_keys::SubjectKeyTable;
use shared::adapters::dynamodb::users::Users;
use shared::core::application::Application;
use shared::core::device::DeviceType;
use shared::core::device_tag::DeviceTag;
use shared::core::end_reason::EndReason;
use shared::core::erasure::{self, Erasure};
use shared::core::id::{ApplicationId, UserSlot, UserTag};
use shared::core::keyring::Purpose;
use shared::core::ledger::{LedgerEntry, Spared, Told};
use shared::core::notice::Notice;
use shared::core::privacy::Privacy;
use shared::limits::DELIVERY_QUEUES;

use super::records::{APPLICATION, at, complete_erasure, erasure, key, session, slot};
use super::{golden, signed};

/// Items by table, each as sorted JSON.
type Tables = BTreeMap<&'static str, Vec<Value>>;

struct Adapters {
    applications: Applications,
    keys: Keys,
    users: Users,
    devices: Devices,
    revocations: Revocations,
    deliveries: Deliveries,
    subject_keys: SubjectKeyTable,
}

impl Adapters {
    fn of(stores: &AwsStores) -> Self {
        let (client, tables) = (|| stores.dynamodb.clone(), stores.tables.clone());
        Adapters {
            applications: Applications::new(client(), tables.applications),
            keys: Keys::new(client(), tables.keys),
            users: Users::new(client(), tables.users),
            devices: Devices::new(client(), tables.devices),
            revocations: Revocations::new(client(), tables.revocations),
            deliveries: Deliveries::new(client(), tables.deliveries),
            subject_keys: SubjectKeyTable::new(client(), tables.subject_keys),
        }
    }

    /// Writes one of everything.
    async fn write(&self) {
        let application: Application = serde_json::from_str(APPLICATION).expect("an application");
        assert!(self.applications.save(&application, None).await.expect("saved"));

        let ring = WrappedRing { wrapped: b"wrapped".to_vec(), public: Vec::new(), version: 1 };
        assert!(self.keys.save(Purpose::Token, &ring).await.expect("saved"));
        assert!(self.keys.save_routing_key(&key()).await.expect("saved"));

        self.users.raise_epoch(slot(), None, at(1)).await.expect("raised");
        self.users.raise_epoch(slot(), Some(session()), at(2)).await.expect("raised");
        assert!(self.users.save_state(slot(), 0, b"sealed state").await.expect("saved"));
        let settings = self.users.save_settings(slot(), 0, Privacy::from_bits(3), Some(true), at(3)).await;
        assert!(settings.expect("saved").is_some());

        let sighting = Sighting {
            name: Some("Ada's phone".into()),
            stated_type: Some(DeviceType::Phone),
            place: Some("Linz, AT".into()),
            address_prefix: Some("203.0.113.0/24".into()),
            client: Some("Firefox on Android".into()),
            jkt: Some("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".into()),
            application_id: "demo".into(),
            ..Sighting::default()
        };
        for device in ["phone", "lost"] {
            assert!(self.devices.register(slot(), device, &sighting, at(4)).await.expect("registered").is_some());
        }
        assert!(self.devices.save_data(slot(), "phone", 0, b"sealed data").await.expect("saved"));
        self.devices.remove(slot(), "lost", at(5)).await.expect("removed");

        for entry in entries() {
            self.revocations.record(&entry, at(6)).await.expect("recorded");
        }
        self.revocations.mark_pending(&entries()[0], at(7)).await.expect("marked");
        self.revocations.mark_caught_up("run-id/replication-id", at(8)).await.expect("marked");

        for number in 0..2 {
            let notice = notice(number);
            assert!(self.deliveries.hand_over(&recipient(), &notice, at(9)).await.expect("handed over"));
        }
        let due = self.due().await;
        let leased = self.deliveries.lease(due.first().expect("one is due"), at(10)).await.expect("asked");
        self.deliveries.settle(&leased.expect("leased"), Settlement::Done).await.expect("settled");

        let subject = slot().subject();
        assert!(self.subject_keys.add(vec![(&subject, b"wrapped key".to_vec())]).await.expect("added"));
    }

    /// Erasures that are under way and complete, and what receivers hear of an alert.
    async fn write_erasures(&self) {
        let other = Erasure { subject: other_slot().subject(), step: erasure::Step::Count, ..erasure() };
        self.revocations.begin_erasure(&other).await.expect("begun");
        let further = Erasure { step: erasure::Step::Redis, ..other };
        assert!(self.revocations.save_erasure(&further, erasure::Step::Count.number()).await.expect("saved"));
        self.revocations.begin_erasure(&erasure()).await.expect("begun");
        self.revocations.complete_erasure(slot(), &complete_erasure(), at(90)).await.expect("completed");
        for recipient in [recipient(), Recipient::topic()] {
            assert!(self.deliveries.hand_over(&recipient, &signed::alert(), at(9)).await.expect("handed over"));
        }
    }

    async fn read_erasures(&self) -> Vec<String> {
        let unfinished = self.revocations.unfinished_erasures().await.expect("read");
        let complete = self.revocations.completed_erasure(slot()).await.expect("read");
        let ledger = self.revocations.all(at(91)).await.expect("read");
        let said = format!("{unfinished:#?}\n{complete:#?}\n{ledger:#?}\n{:#?}", self.due().await);
        said.lines().map(str::to_owned).collect()
    }

    async fn due(&self) -> Vec<shared::adapters::dynamodb::deliveries::Due> {
        let mut found = Vec::new();
        for queue in 0..DELIVERY_QUEUES {
            found.extend(self.deliveries.due(&recipient(), queue, at(10), 10).await.expect("read"));
        }
        found.sort_by(|one, other| one.delivery_id.cmp(&other.delivery_id));
        found
    }

    /// What the readers make of it.
    async fn read(&self) -> Vec<String> {
        let mut said = Vec::new();
        let mut say = |text: String| said.extend(text.lines().map(str::to_owned));
        let demo = ApplicationId::parse("demo").expect("an id");
        say(format!("{:#?}", self.applications.load(&demo).await.expect("read")));
        say(format!("{:#?}", self.keys.load(Purpose::Token).await.expect("read")));
        say(format!("routing key: {}", self.keys.routing_key().await.expect("read") == Some(key())));
        say(format!("epoch {}", self.users.current_epoch(slot()).await.expect("read")));
        say(format!("{:#?}", self.users.state(slot()).await.expect("read")));
        say(format!("{:#?}", self.users.settings(slot()).await.expect("read")));
        say(format!("{:#?}", self.devices.list(slot(), at(11)).await.expect("read")));
        say(format!("{:#?}", self.devices.data(slot(), "phone", at(11)).await.expect("read")));
        say(format!("removed {:?}", self.devices.removed_epoch(slot(), "lost", at(11)).await.expect("read")));
        let mut ledger = self.revocations.all(at(11)).await.expect("read");
        ledger.sort_by_key(|recorded| recorded.entry.sort_key());
        say(format!("{ledger:#?}"));
        say(format!("{:#?}", self.revocations.standing("run-id/replication-id", at(11)).await.expect("read")));
        say(format!("{:#?}", self.due().await));
        let subject = slot().subject();
        say(format!("{:#?}", self.subject_keys.load(&[&subject]).await.expect("read")));
        said
    }
}

fn other_slot() -> UserSlot {
    UserSlot { tag: UserTag::from_bytes(*b"others"), ..slot() }
}

/// One entry of each kind.
pub fn entries() -> [LedgerEntry; 6] {
    let (slot, session) = (slot(), session());
    let told = Told { application_id: "demo".into(), common: "common".into(), detail: "detail".into() };
    [
        LedgerEntry::Session { session, reason: EndReason::User, application_tag: *b"own-app-" },
        LedgerEntry::Family { session, application_tag: *b"its-app-", asking_tag: *b"own-app-" },
        LedgerEntry::User { slot, epoch: 2, spared: Some(Spared { session, floor: 1 }) },
        LedgerEntry::Privacy { slot, privacy: Privacy::from_bits(3), version: 1, told },
        LedgerEntry::Erased { slot, epoch: 2, privacy_version: 1 },
        LedgerEntry::Device {
            slot,
            device: DeviceTag::from_bytes(*b"device-A"),
            epoch: 7,
            reason: EndReason::DeviceRemoved,
        },
    ]
}

fn recipient() -> Recipient {
    Recipient { application_id: "demo".into(), receiver_id: "hook".into() }
}

fn notice(number: u8) -> Notice {
    Notice {
        event_id: format!("event-{number}"),
        event_type: "session.ended".into(),
        occurred_at: at(9).millis(),
        application_id: "demo".into(),
        subject: slot().subject(),
        session_id: session().to_string(),
        actor: "application".into(),
        reason: "user".into(),
        alert: None,
    }
}

async fn stores() -> AwsStores {
    AwsStores::create(&format!("golden-{}", settings::random_hex(6))).await
}

fn tables(stores: &AwsStores) -> [(&'static str, String); 7] {
    let tables = stores.tables.clone();
    [
        ("applications", tables.applications),
        ("keys", tables.keys),
        ("users", tables.users),
        ("devices", tables.devices),
        ("revocations", tables.revocations),
        ("deliveries", tables.deliveries),
        ("subject-keys", tables.subject_keys),
    ]
}

fn plain(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(number) => json!({ "N": number }),
        AttributeValue::Bool(truth) => json!({ "BOOL": truth }),
        AttributeValue::B(bytes) => json!({ "B": URL_SAFE_NO_PAD.encode(bytes.as_ref()) }),
        other => panic!("no table has {other:?}"),
    }
}

fn attribute(value: &Value) -> AttributeValue {
    let (kind, value) = value.as_object().expect("an attribute").iter().next().expect("its type");
    let text = || value.as_str().expect("text").to_owned();
    match kind.as_str() {
        "S" => AttributeValue::S(text()),
        "N" => AttributeValue::N(text()),
        "BOOL" => AttributeValue::Bool(value.as_bool().expect("a truth value")),
        "B" => AttributeValue::B(Blob::new(URL_SAFE_NO_PAD.decode(text()).expect("base64url"))),
        other => panic!("unknown type {other}"),
    }
}

async fn dump(stores: &AwsStores) -> Tables {
    let mut found = Tables::new();
    for (name, table) in tables(stores) {
        let scan = stores.dynamodb.scan().table_name(&table).consistent_read(true).send().await.expect("Scan succeeds");
        let plain = |item: &HashMap<String, AttributeValue>| -> Value {
            item.iter()
                .map(|(name, value)| (name.clone(), plain(value)))
                .collect::<BTreeMap<_, _>>()
                .into_iter()
                .collect()
        };
        let mut items: Vec<Value> = scan.items().iter().map(plain).collect();
        items.sort_by_key(Value::to_string);
        found.insert(name, items);
    }
    found
}

async fn place(stores: &AwsStores, fixture: &Value) {
    for (name, table) in tables(stores) {
        for item in fixture["items"][name].as_array().expect("items") {
            let attributes = item.as_object().expect("an item").iter();
            let item = attributes.map(|(name, value)| (name.clone(), attribute(value))).collect();
            let put = stores.dynamodb.put_item().table_name(&table).set_item(Some(item));
            put.send().await.expect("PutItem succeeds");
        }
    }
}

/// What is written together, and held to one fixture.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Everything,
    Erasures,
}

impl Kind {
    async fn write(self, adapters: &Adapters) {
        match self {
            Kind::Everything => adapters.write().await,
            Kind::Erasures => adapters.write_erasures().await,
        }
    }

    async fn read(self, adapters: &Adapters) -> Vec<String> {
        match self {
            Kind::Everything => adapters.read().await,
            Kind::Erasures => adapters.read_erasures().await,
        }
    }
}

async fn hold(kind: Kind, file: &str) {
    let fresh = stores().await;
    let adapters = Adapters::of(&fresh);
    kind.write(&adapters).await;
    let written = dump(&fresh).await;
    let made = json!({ "items": written, "says": kind.read(&adapters).await });
    let fixture = golden::document(file, || made);
    for (name, items) in &written {
        assert_eq!(Value::from(items.clone()), fixture["items"][*name], "{name} are written otherwise");
    }
    let older = stores().await;
    place(&older, &fixture).await;
    assert_eq!(json!(kind.read(&Adapters::of(&older)).await), fixture["says"]);
}

/// F-32: the items of this release are read, and written the same again.
#[tokio::test]
async fn f_32_items_read_as_they_did_and_are_written_as_they_were() {
    hold(Kind::Everything, "items-v1.json").await;
}

/// F-32: so are those of erasures, and of alerts on their way.
#[tokio::test]
async fn f_32_erasures_are_gone_on_with_where_they_were() {
    hold(Kind::Erasures, "items-erasure-v1.json").await;
}

/// F-32: what a later release adds to an item is no obstacle, and a change by this one leaves it there.
#[tokio::test]
async fn f_32_attributes_of_a_later_release_stay() {
    let stores = stores().await;
    let adapters = Adapters::of(&stores);
    adapters.write().await;
    let before = adapters.read().await;
    for (name, table) in tables(&stores) {
        let scan = stores.dynamodb.scan().table_name(&table).send().await.expect("Scan succeeds");
        for mut item in scan.items.unwrap_or_default() {
            item.insert("ofALaterRelease".to_owned(), AttributeValue::S(name.to_owned()));
            let put = stores.dynamodb.put_item().table_name(&table).set_item(Some(item));
            put.send().await.expect("PutItem succeeds");
        }
    }
    assert_eq!(adapters.read().await, before);
    // Users and devices change in place; every other item is written as a whole by whoever knows all of it.
    adapters.users.raise_epoch(slot(), None, at(20)).await.expect("raised");
    assert!(adapters.users.save_state(slot(), 1, b"later state").await.expect("saved"));
    assert!(adapters.devices.save_data(slot(), "phone", 1, b"later data").await.expect("saved"));
    let after = dump(&stores).await;
    for name in ["users", "devices"] {
        assert!(after[name].iter().all(|item| item["ofALaterRelease"]["S"] == name), "{name}: {:?}", after[name]);
    }
}
