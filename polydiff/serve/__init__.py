"""A server of trained models: a web page, a JSON API, and a process that computes (`polydiff serve RUN`).

The server imports no torch. It checks requests (`schema`, `limits`, `web.guard`), queues jobs (`engine`) and serves
files (`web.app`). The worker, a process of its own (`worker`), loads the models, describes them and draws. They
exchange lines of JSON over pipes, and results are files. So a worker may be killed, and no pickle ever passes between
them.
"""
