"""The mart ``echotune``: the database of EchoTune, an application that recommends music."""
