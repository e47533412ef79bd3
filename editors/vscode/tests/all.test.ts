import "./drafting.test";
import "./place.test";
import "./server.test";
