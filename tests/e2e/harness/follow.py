"""A list and watch that goes on after interruptions, as a controller's does."""
import http.client
import json
import threading
import time

WATCH_SECONDS = 50  # less than the connection's time-out


class Follow(threading.Thread):
    """take(type, object) is called, in this thread, for what is there (as ADDED) and for each change afterwards.

    After an interruption it goes on from the version that it has seen; where that is too old it lists anew.
    """

    def __init__(self, api, path, take, selector=""):
        super().__init__(daemon=True)
        self.api, self.path, self.take = api, path, take
        self.query = f"&labelSelector={selector}" if selector else ""
        self.version = None
        self.ending = threading.Event()
        self.listed = threading.Event()
        self.start()

    def stop(self):
        """It ends with the next event or, at the latest, when its watch does."""
        self.ending.set()

    def run(self):
        while not self.ending.is_set():
            try:
                if self.version is None:
                    self._list()
                self._watch()
            except (OSError, http.client.HTTPException, ValueError):
                self.ending.wait(0.2)

    def _get(self, connection, query):
        connection.request("GET", f"{self.path}?{query}{self.query}", headers={"Authorization": f"Bearer {self.api.token}"})
        answer = connection.getresponse()
        if answer.status == 410:
            self.version = None
        if answer.status != 200:
            raise OSError(f"{self.path}: {answer.status}")
        return answer

    def _list(self):
        connection = self.api.new_connection()
        try:
            found = json.loads(self._get(connection, "").read())
        finally:
            connection.close()
        for item in found["items"]:
            self.take("ADDED", item)
        self.version = found["metadata"]["resourceVersion"]
        self.listed.set()

    def _watch(self):
        connection = self.api.new_connection()
        try:
            answer = self._get(connection, f"watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}"
                                           f"&resourceVersion={self.version}")
            while not self.ending.is_set():
                line = answer.readline()
                if not line:
                    return
                event = json.loads(line)
                if event["type"] == "ERROR":
                    self.version = None
                    time.sleep(0.1)
                    return
                self.version = event["object"]["metadata"]["resourceVersion"]
                if event["type"] != "BOOKMARK":
                    self.take(event["type"], event["object"])
        finally:
            connection.close()
