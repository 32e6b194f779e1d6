"""AWS by moto, in one process, over TLS: users, roles and secrets are made first, then every request's signature is verified
(moto computes it anew with botocore's own signer) and every action is held against IAM.

usage: moto.py CERT KEY CA LOG; prints one line of JSON with all a test needs, then serves. Each request is a line of LOG.
"""
import io, json, os, ssl, sys, threading, time

sys.path.pop(0)  # where this file would stand for the library of its name
os.environ["AWS_DEFAULT_REGION"] = "eu-central-1"
import boto3, requests
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.secretsmanager.models import secretsmanager_backends
from werkzeug.serving import make_server

cert, key, ca, log = sys.argv[1:5]
REGION, DAY = "eu-central-1", 86400
recording = False


class Recorder:
    def __init__(self, app):
        self.app = app

    def __call__(self, environ, start_response):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        if recording:
            line = {
                "target": environ.get("HTTP_X_AMZ_TARGET", ""),
                "signed": "AWS4-HMAC-SHA256" in environ.get("HTTP_AUTHORIZATION", ""),
                "token": "HTTP_X_AMZ_SECURITY_TOKEN" in environ,
                "body": body.decode("utf-8", "replace"),
            }
            with open(log, "a") as out:
                out.write(json.dumps(line) + "\n")
        if body.startswith(b"Action=AssumeRoleWithWebIdentity"):
            return self.web_identity(start_response)
        return self.app(environ, start_response)

    def web_identity(self, start_response):
        """A stand-in: moto takes any token, and with signatures verified none at all. Lends a real session of moto's."""
        lent = facts["lent"]
        body = f"""<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult><Credentials>
    <AccessKeyId>{lent["id"]}</AccessKeyId><SecretAccessKey>{lent["secret"]}</SecretAccessKey>
    <SessionToken>{lent["token"]}</SessionToken><Expiration>2027-01-01T00:00:00Z</Expiration>
  </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>""".encode()
        start_response("200 OK", [("Content-Type", "text/xml"), ("Content-Length", str(len(body)))])
        return [body]


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.minimum_version = ssl.TLSVersion.TLSv1_3
context.load_cert_chain(cert, key)
app = Recorder(DomainDispatcherApplication(create_backend_app))
server = make_server("127.0.0.1", 0, app, threaded=True, ssl_context=context)
base = f"https://localhost:{server.port}"
threading.Thread(target=server.serve_forever, daemon=True).start()


def client(service):
    return boto3.client(
        service, endpoint_url=base, verify=ca, region_name=REGION, aws_access_key_id="setup", aws_secret_access_key="setup"
    )


iam, sts, store = client("iam"), client("sts"), client("secretsmanager")


def policy(*actions):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}]})


def user(name, *actions):
    iam.create_user(UserName=name)
    if actions:
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy(*actions))
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return {"id": made["AccessKeyId"], "secret": made["SecretAccessKey"]}


READ = [f"secretsmanager:{action}" for action in ("GetSecretValue", "BatchGetSecretValue", "DescribeSecret")]
facts = {"address": base, "region": REGION}
facts["reader"] = user("reader", *READ, "sts:AssumeRole")
facts["stranger"] = user("stranger", "iam:GetUser")
trusted = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
trust = json.dumps({"Version": "2012-10-17", "Statement": [trusted]})
facts["role"] = iam.create_role(RoleName="bot", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
iam.put_role_policy(RoleName="bot", PolicyName="p", PolicyDocument=policy(*READ))
lent = sts.assume_role(RoleArn=facts["role"], RoleSessionName="lent")["Credentials"]
facts["lent"] = {"id": lent["AccessKeyId"], "secret": lent["SecretAccessKey"], "token": lent["SessionToken"]}


def secret(name, **value):
    return store.create_secret(Name=name, **value)


facts["arn"] = secret("prod/bot", SecretString=json.dumps({"api_key": "old-key"}))["ARN"]
facts["version"] = store.get_secret_value(SecretId="prod/bot")["VersionId"]
store.put_secret_value(
    SecretId="prod/bot", SecretString=json.dumps({"api_key": "s3cret-of-the-bot", "n": 1, "deep": {"list": ["x", "s3cret-below"]}})
)
secret("plain", SecretString="s3cret-alone")
secret("binary", SecretBinary=b"\x00\xffs3cret")
secret("old", SecretString=json.dumps({"k": "s3cret-of-old"}))
secret("deleted", SecretString="s3cret-deleted")
store.delete_secret(SecretId="deleted")
versions = secretsmanager_backends["123456789012"][REGION].secrets["old"].versions
for version in versions.values():
    version["createdate"] = int(time.time()) - 100 * DAY
for secret_id in range(25):
    secret(f"many/{secret_id}", SecretString=f"s3cret-{secret_id}")

requests.post(base + "/moto-api/reset-auth", data=b"0", verify=ca).raise_for_status()
recording = True
print(json.dumps(facts), flush=True)
sys.stdin.read()  # until the test process is gone
