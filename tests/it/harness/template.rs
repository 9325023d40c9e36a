use integration_tests::routes::RouteTable;
use integration_tests::template::Template;
use integration_tests::{json, yaml};

#[test]
fn yaml_is_read_as_sam_templates_write_it() {
    let document = yaml::parse(
        r#"
# a comment
plain: some text   # and another
quoted: 'it''s # not a comment'
double: "a\tb: c"
number: 42
flag: true
empty:
colon: rediss://${Redis.Address}:${Redis.Port}
list:
- one
- {Key: Name, Value: !Ref AWS::StackName}
nested:
  - Effect: Allow
    Action: [kms:Decrypt, "kms:Encrypt"]
    Condition:
      StringEquals:
        kms:EncryptionContext:stack: !Ref AWS::StackName
  - !Sub '${AWS::StackName}-a'
  - !If [IsDev, !Ref A, !GetAtt B.Arn]
joined: !Join
  - ''
  - - a
    - b
text: |
  first: line
    # kept

  last
folded: words that go
  on here
flow: {a: [1, 2],
       b: {c: d}}
after: end
"#,
    );
    assert_eq!(
        document,
        json!({
            "plain": "some text",
            "quoted": "it's # not a comment",
            "double": "a\tb: c",
            "number": 42,
            "flag": true,
            "empty": null,
            "colon": "rediss://${Redis.Address}:${Redis.Port}",
            "list": ["one", { "Key": "Name", "Value": { "Ref": "AWS::StackName" } }],
            "nested": [
                {
                    "Effect": "Allow",
                    "Action": ["kms:Decrypt", "kms:Encrypt"],
                    "Condition": {
                        "StringEquals": { "kms:EncryptionContext:stack": { "Ref": "AWS::StackName" } }
                    },
                },
                { "Fn::Sub": "${AWS::StackName}-a" },
                { "Fn::If": ["IsDev", { "Ref": "A" }, { "Fn::GetAtt": "B.Arn" }] },
            ],
            "joined": { "Fn::Join": ["", ["a", "b"]] },
            "text": "first: line\n  # kept\n\nlast",
            "folded": "words that go on here",
            "flow": { "a": [1, 2], "b": { "c": "d" } },
            "after": "end",
        })
    );
}

#[test]
fn the_template_of_the_repository_gives_routes_and_variables() {
    let template = Template::of_repository();
    let routes = RouteTable::from_template(template);
    let route = |method, path| routes.find(method, path).map(|route| route.function);
    assert_eq!(route("POST", "/sessions").as_deref(), Some("create-session"));
    assert_eq!(route("GET", "/sessions/user/ada").as_deref(), Some("list-user-sessions"));
    assert_eq!(route("GET", "/.well-known/jwks.json").as_deref(), Some("jwks"));
    let variables = template.function("create-session").unwrap().variables();
    for name in ["STACK_NAME", "PUBLIC_URL", "REDIS_URL", "KMS_KEY_ID"] {
        assert!(variables.contains_key(name), "{name}");
    }
    assert!(!template.function("health").unwrap().variables().contains_key("REDIS_URL"));
}
