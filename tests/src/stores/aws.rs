//! DynamoDB tables, a bucket, KMS keys and an SNS topic on the moto server.

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection, ProjectionType,
    ScalarAttributeType, TimeToLiveSpecification,
};
use aws_sdk_kms::config::{BehaviorVersion, Region};
use aws_sdk_kms::types::{KeySpec, KeyUsageType};
use aws_sdk_s3::types::{
    BucketLocationConstraint, CreateBucketConfiguration, DefaultRetention, ObjectLockConfiguration, ObjectLockEnabled,
    ObjectLockRetentionMode, ObjectLockRule,
};
use futures::future::join_all;
use std::time::Duration;
use tokio::sync::OnceCell;

use crate::{secrets, settings};

/// Region of every test stack.
pub const REGION: &str = "eu-west-1";

/// Names of the tables of a stack.
#[derive(Clone, Debug)]
pub struct Tables {
    /// `APPLICATIONS_TABLE`
    pub applications: String,
    /// `KEYS_TABLE`
    pub keys: String,
    /// `USERS_TABLE`
    pub users: String,
    /// `DEVICES_TABLE`
    pub devices: String,
    /// `REVOCATIONS_TABLE`
    pub revocations: String,
    /// `DELIVERIES_TABLE`
    pub deliveries: String,
    /// `SUBJECT_KEYS_TABLE`
    pub subject_keys: String,
}

/// The AWS side of one stack. Its clients go past any proxy.
pub struct AwsStores {
    /// Names of its tables.
    pub tables: Tables,
    /// Key of the stack. Stacks of one process share it: the encryption context sets them apart.
    pub kms_key_id: String,
    /// DynamoDB.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// KMS.
    pub kms: aws_sdk_kms::Client,
    /// SNS.
    pub sns: aws_sdk_sns::Client,
    /// `ALERT_TOPIC_ARN`
    pub topic_arn: String,
    /// S3.
    pub s3: aws_sdk_s3::Client,
    /// Bucket of the audit anchors, under Object Lock.
    pub anchors_bucket: String,
    /// Key that signs them; one for all stacks of a process, since a statement names its stack.
    pub anchor_key_id: String,
    secret_access_key: String,
}

impl AwsStores {
    /// Creates the tables of the stack `name`.
    pub async fn create(name: &str) -> Self {
        let secret_access_key = settings::random_hex(20);
        secrets::register(&secret_access_key);
        let credentials = Credentials::new("TESTACCESSKEY", &secret_access_key, None, None, "harness");
        let http_client = shared::adapters::aws_http::client(Duration::from_secs(5)).expect("an HTTP client");
        let dynamodb = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(credentials.clone())
            .endpoint_url(settings::moto_url())
            .http_client(http_client.clone())
            .build();
        let kms = aws_sdk_kms::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(credentials.clone())
            .endpoint_url(settings::moto_url())
            .http_client(http_client.clone())
            .build();
        let sns = aws_sdk_sns::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(credentials)
            .endpoint_url(settings::moto_url())
            .http_client(http_client.clone())
            .build();
        let s3 = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new("TESTACCESSKEY", &secret_access_key, None, None, "harness"))
            .endpoint_url(settings::moto_url())
            .force_path_style(true)
            .http_client(http_client)
            .build();
        let stores = Self {
            tables: Tables {
                applications: format!("{name}-applications"),
                keys: format!("{name}-keys"),
                users: format!("{name}-users"),
                devices: format!("{name}-devices"),
                revocations: format!("{name}-revocations"),
                deliveries: format!("{name}-deliveries"),
                subject_keys: format!("{name}-subject-keys"),
            },
            kms_key_id: String::new(),
            dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb),
            kms: aws_sdk_kms::Client::from_conf(kms),
            sns: aws_sdk_sns::Client::from_conf(sns),
            topic_arn: String::new(),
            s3: aws_sdk_s3::Client::from_conf(s3),
            anchors_bucket: format!("{name}-anchors"),
            anchor_key_id: String::new(),
            secret_access_key,
        };
        let ((kms_key_id, anchor_key_id), topic) =
            tokio::join!(stores.create_everything(), stores.sns.create_topic().name(format!("{name}-alarms")).send());
        let topic_arn = topic.expect("CreateTopic succeeds").topic_arn.expect("an ARN");
        Self { kms_key_id, anchor_key_id, topic_arn, ..stores }
    }

    /// What a function needs to reach AWS at `endpoint`.
    pub fn variables(&self, endpoint: &str) -> Vec<(String, String)> {
        [
            ("AWS_REGION", REGION),
            ("AWS_DEFAULT_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", "TESTACCESSKEY"),
            ("AWS_SECRET_ACCESS_KEY", &self.secret_access_key),
            ("AWS_SESSION_TOKEN", "test-session-token"),
            ("AWS_ENDPOINT_URL", endpoint),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// Creates tables, bucket and keys; returns the ids of the keys.
    async fn create_everything(&self) -> (String, String) {
        let tables: [(&str, &[&str]); 6] = [
            (&self.tables.applications, &["applicationId"]),
            (&self.tables.keys, &["purpose"]),
            (&self.tables.users, &["userTag"]),
            (&self.tables.devices, &["userTag", "deviceId"]),
            (&self.tables.revocations, &["scope", "entry"]),
            (&self.tables.subject_keys, &["subject"]),
        ];
        let (_, (), key, anchor_key, ()) = tokio::join!(
            join_all(tables.map(|(name, attributes)| self.create_table(name, attributes))),
            self.create_deliveries(),
            self.key_of_process(),
            self.anchor_key_of_process(),
            self.create_anchors_bucket(),
        );
        for table in [&self.tables.revocations, &self.tables.devices, &self.tables.deliveries] {
            let expiry = TimeToLiveSpecification::builder().enabled(true).attribute_name("expiresAt").build();
            self.dynamodb
                .update_time_to_live()
                .table_name(table)
                .time_to_live_specification(expiry.expect("a complete specification"))
                .send()
                .await
                .expect("UpdateTimeToLive succeeds");
        }
        (key, anchor_key)
    }

    async fn create_anchors_bucket(&self) {
        let region = BucketLocationConstraint::from(REGION);
        self.s3
            .create_bucket()
            .bucket(&self.anchors_bucket)
            .object_lock_enabled_for_bucket(true)
            .create_bucket_configuration(CreateBucketConfiguration::builder().location_constraint(region).build())
            .send()
            .await
            .expect("CreateBucket succeeds");
        let days = DefaultRetention::builder().mode(ObjectLockRetentionMode::Compliance).days(1).build();
        let rule = ObjectLockRule::builder().default_retention(days).build();
        let enabled = ObjectLockEnabled::Enabled;
        let lock = ObjectLockConfiguration::builder().object_lock_enabled(enabled).rule(rule).build();
        let put = self.s3.put_object_lock_configuration().bucket(&self.anchors_bucket).object_lock_configuration(lock);
        put.send().await.expect("PutObjectLockConfiguration succeeds");
    }

    async fn anchor_key_of_process(&self) -> String {
        static KEY: OnceCell<String> = OnceCell::const_new();
        let key = KEY.get_or_init(|| async {
            let key = self.kms.create_key().key_spec(KeySpec::EccNistP256).key_usage(KeyUsageType::SignVerify);
            let created = key.send().await.expect("CreateKey succeeds");
            created.key_metadata.expect("the metadata of the key").key_id
        });
        key.await.clone()
    }

    /// The one table with an index.
    async fn create_deliveries(&self) {
        let table = &self.tables.deliveries;
        let element = |name: &str, kind: KeyType| {
            KeySchemaElement::builder().attribute_name(name).key_type(kind).build().expect("a complete element")
        };
        let everything = Projection::builder().projection_type(ProjectionType::All).build();
        let due = GlobalSecondaryIndex::builder()
            .index_name("due")
            .key_schema(element("queue", KeyType::Hash))
            .key_schema(element("dueAt", KeyType::Range))
            .projection(everything)
            .build();
        let mut creation = self
            .dynamodb
            .create_table()
            .table_name(table)
            .billing_mode(BillingMode::PayPerRequest)
            .key_schema(element("deliveryId", KeyType::Hash))
            .global_secondary_indexes(due.expect("a complete index"));
        for name in ["deliveryId", "queue", "dueAt"] {
            let definition =
                AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S).build();
            creation = creation.attribute_definitions(definition.expect("a complete definition"));
        }
        creation.send().await.unwrap_or_else(|error| panic!("table {table}: {error:?}"));
    }

    /// A table whose partition key, and sort key if there is a second attribute, are strings.
    async fn create_table(&self, name: &str, attributes: &[&str]) {
        let mut creation = self.dynamodb.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
        for (attribute, kind) in attributes.iter().zip([KeyType::Hash, KeyType::Range]) {
            let definition = AttributeDefinition::builder()
                .attribute_name(*attribute)
                .attribute_type(ScalarAttributeType::S)
                .build();
            let element = KeySchemaElement::builder().attribute_name(*attribute).key_type(kind).build();
            creation = creation
                .attribute_definitions(definition.expect("a complete definition"))
                .key_schema(element.expect("a complete element"));
        }
        creation.send().await.unwrap_or_else(|error| panic!("table {name}: {error:?}"));
    }

    async fn key_of_process(&self) -> String {
        static KEY: OnceCell<String> = OnceCell::const_new();
        let key = KEY.get_or_init(|| async {
            let created = self.kms.create_key().send().await.expect("CreateKey succeeds");
            created.key_metadata.expect("the metadata of the key").key_id
        });
        key.await.clone()
    }
}
