"""`python -m tests.cluster` says whether the cluster test can run on this machine."""

from tests.cluster.namespaces import obstacle

if __name__ == "__main__":
    reason = obstacle()
    possible = "possible here, run make cluster-test"
    print(f"cluster test: {f'not possible here: {reason}' if reason else possible}")
