(** * Curves from a table

    [silu_slope_at], [sigmoid_slope_at], [silu_value_at] and [sigmoid_value_at] of Integers.v take
    an exponential and a quotient each. Here they are read from a table of the points k/64, which
    [vm_compute] makes once.

    - [silu_slope], [sigmoid_slope], [silu_value], [sigmoid_value]: the same numbers, by the table;
    - [silu_slope_ok], [sigmoid_slope_ok], [silu_value_ok], [sigmoid_value_ok]: that they are the
      same.

    Rests on Integers.v. *)

From Coq Require Import ZArith List FMapPositive Lia.
From Lastbit Require Import checker.Integers.
Import ListNotations.
Open Scope Z_scope.

(** ** The table *)

(** At [k > 0]: exp, slopes and values. *)
Record point :=
  { p_exp : Z * Z; p_silu_slope : Z * Z; p_sigmoid_slope : Z * Z; p_silu : Z * Z;
  p_sigmoid : Z * Z }.

(** A table by [k]; exp in it. *)
Definition table := PositiveMap.t point.

Definition exp_in (t : table) (k : positive) : Z * Z :=
  match PositiveMap.find k t with Some p => p_exp p | None => exp_at (Zpos k) end.

(** exp at [k] from that at half of it. *)
Definition exp_next (t : table) (k : positive) : Z * Z :=
  match k with
  | xH => (exp_low, exp_high)
  | xO q => let (l, h) := exp_in t q in (down64 (l * l), up64 (h * h))
  | xI q =>
      let (l, h) := exp_in t q in
      (down64 (down64 (l * l) * exp_low), up64 (up64 (h * h) * exp_high))
  end.

(** All that is kept at a point, from exp there. *)
Definition point_at (k : positive) (e : Z * Z) : point :=
  let (l, h) := e in
  let l := l * fine / (fine + l) in let h := ceil_div (h * fine) (fine + h) in let a := Zpos k in
  let low := Z.shiftl l 36 in let high := Z.shiftl h 36 in
  {| p_exp := e;
     p_silu_slope :=
     (Z.shiftr (l * (64 * fine + a * (fine - h))) 34,
       - Z.shiftr (- (h * (64 * fine + a * (fine - l)))) 34);
     p_sigmoid_slope := (Z.shiftr (l * (fine - h)) 28, - Z.shiftr (- (h * (fine - l))) 28);
     p_silu := (Z.shiftr (a * low) 6, - Z.shiftr (- (a * high)) 6);
     p_sigmoid := (low, high) |}.

(** The next [n] points from [k] on, each from those before it. *)
Fixpoint filled (n : nat) (k : positive) (t : table) : table :=
  match n with
  | O => t
  | S n' => filled n' (Pos.succ k) (PositiveMap.add k (point_at k (exp_next t k)) t)
  end.

(** As far as curves are tabulated. *)
Definition points : table := filled (Z.to_nat far) 1 (PositiveMap.empty point).

(** ** What is read from it *)

(** Slopes of SiLU at [k / 64], below and above. *)
Definition silu_slope (k : Z) : Z * Z :=
  match k with
  | Z0 => silu_slope_at 0
  | Zpos p =>
      match PositiveMap.find p points with Some e => p_silu_slope e | None => silu_slope_at k end
  | Zneg p => match PositiveMap.find p points with
      | Some e => let (l, h) := p_silu_slope e in (one - h, one - l)
      | None => silu_slope_at k
      end
  end.

(** Slopes of sigmoid. *)
Definition sigmoid_slope (k : Z) : Z * Z :=
  match k with
  | Z0 => sigmoid_slope_at 0
  | Zpos p | Zneg p =>
      match PositiveMap.find p points with Some e => p_sigmoid_slope e | None =>
        sigmoid_slope_at k end
  end.

(** Values of sigmoid. *)
Definition sigmoid_value (k : Z) : Z * Z :=
  match k with
  | Z0 => sigmoid_value_at 0
  | Zpos p =>
      match PositiveMap.find p points with Some e => p_sigmoid e | None => sigmoid_value_at k end
  | Zneg p => match PositiveMap.find p points with
      | Some e => let (l, h) := p_sigmoid e in (one - h, one - l)
      | None => sigmoid_value_at k
      end
  end.

(** Values of SiLU. *)
Definition silu_value (k : Z) : Z * Z :=
  match k with
  | Zpos p => match PositiveMap.find p points with Some e => p_silu e | None => silu_value_at k end
  | _ => let (l, h) := sigmoid_value k in
         let a := if k <? 0 then k * h else k * l in let b := if k <? 0 then k * l else k * h in
         (Z.shiftr a 6, - Z.shiftr (- b) 6)
  end.

(** ** That they are the same *)

(** A table that has what Integers.v computes. *)
Definition right (t : table) : Prop := forall k p, PositiveMap.find k t = Some p ->
  p = point_at k (exp_at (Zpos k)).

Lemma exp_in_ok t k : right t -> exp_in t k = exp_at (Zpos k).
Proof.
  intros R. unfold exp_in. destruct (PositiveMap.find k t) as [p|] eqn:E; [|reflexivity].
  rewrite (R _ _ E). unfold point_at. now destruct (exp_at (Zpos k)).
Qed.

Lemma exp_next_ok t k : right t -> exp_next t k = exp_at (Zpos k).
Proof.
  intros R. destruct k; cbn [exp_next exp_at power]; try (rewrite (exp_in_ok _ _ R)); reflexivity.
Qed.

Lemma filled_ok n : forall k t, right t -> right (filled n k t).
Proof.
  induction n as [|n IH]; intros k t R; [exact R|]. cbn [filled]. apply IH. intros j p.
  rewrite (exp_next_ok _ _ R). destruct (Pos.eq_dec j k) as [->|N].
  - rewrite PositiveMap.gss. intros H. symmetry. congruence.
  - rewrite PositiveMap.gso by exact N. apply R.
Qed.

Lemma points_ok : right points.
Proof. apply filled_ok. intros k p. rewrite PositiveMap.gempty. discriminate. Qed.

Global Opaque points.

Lemma point_silu_slope k : p_silu_slope (point_at k (exp_at (Zpos k))) = silu_slope_at (Zpos k).
Proof. unfold point_at, silu_slope_at, sigmoid_at. cbn [Z.abs]. now destruct (exp_at (Zpos k)). Qed.
Lemma point_sigmoid_slope k : p_sigmoid_slope (point_at k (exp_at (Zpos k))) =
  sigmoid_slope_at (Zpos k).
Proof.
  unfold point_at, sigmoid_slope_at, sigmoid_at. cbn [Z.abs]. now destruct (exp_at (Zpos k)).
Qed.
Lemma point_sigmoid k : p_sigmoid (point_at k (exp_at (Zpos k))) = sigmoid_value_at (Zpos k).
Proof.
  unfold point_at, sigmoid_value_at, sigmoid_at. cbn [Z.abs]. now destruct (exp_at (Zpos k)).
Qed.
Lemma point_silu k : p_silu (point_at k (exp_at (Zpos k))) = silu_value_at (Zpos k).
Proof.
  unfold point_at, silu_value_at, sigmoid_value_at, sigmoid_at. cbn [Z.abs].
  now destruct (exp_at (Zpos k)).
Qed.

Ltac by_table R := let E := fresh in
  match goal with |- context [PositiveMap.find ?p points] => destruct (PositiveMap.find p points)
    as [?|] eqn:E;
    [rewrite (points_ok _ _ E), R|reflexivity] end.

Lemma silu_slope_ok k : silu_slope k = silu_slope_at k.
Proof.
  destruct k as [|p|p]; [reflexivity| |]; unfold silu_slope; by_table point_silu_slope;
    [reflexivity|].
  unfold silu_slope_at. cbn [Z.abs]. destruct (sigmoid_at (Zpos p)). reflexivity.
Qed.

Lemma sigmoid_slope_ok k : sigmoid_slope k = sigmoid_slope_at k.
Proof.
  destruct k as [|p|p]; [reflexivity| |]; unfold sigmoid_slope;
    by_table point_sigmoid_slope; reflexivity.
Qed.

Lemma sigmoid_value_ok k : sigmoid_value k = sigmoid_value_at k.
Proof.
  destruct k as [|p|p]; [reflexivity| |]; unfold sigmoid_value; by_table point_sigmoid;
    [reflexivity|].
  unfold sigmoid_value_at. cbn [Z.abs]. destruct (sigmoid_at (Zpos p)). reflexivity.
Qed.

Lemma silu_value_ok k : silu_value k = silu_value_at k.
Proof.
  destruct k as [|p|p]; unfold silu_value; [| |rewrite sigmoid_value_ok; reflexivity].
  - rewrite sigmoid_value_ok. reflexivity.
  - by_table point_silu. reflexivity.
Qed.
