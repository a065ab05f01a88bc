(** * Numbers within a few roundings of exact ones

    [about k M D t v]: the computed [v] is within [((1 + u)^k - 1) M + (1 + u)^k D] of [t], where
    [M >= |t|] adds up the magnitudes of terms, each rounded [k] times at most, and [D] is what was
    wrong before, or underflows.

    - [about_rounded], [about_reads]: one rounding more; a subnormal operand read as 0;
    - [about_operation_plus], [about_operation_minus], [about_operation_mult]: one operation of
      Statement.v, on finite numbers and in range ([computes_operation]).

    An exact result is [rounded], too: so whatever holds of a product and a sum holds of a fused
    multiply-add. Rests on Terms.v. Stands behind the roundings of batch normalisation
    (BatchNorm.v). *)

From Coq Require Import Reals Lra Lia.
From Lastbit Require Import Statement binary32.Terms.
Open Scope R_scope.

(** ** Operations on finite numbers *)

Definition rounded (t r : R) : Prop := Rabs (r - t) <= u * Rabs t + eta.

Definition operation (f : R -> R -> R) (a b r : R) : Prop :=
  exists a' b', reads a a' /\ reads b b' /\ rounded (f a' b') r.

(** [a] divided by [d], or multiplied with its rounded reciprocal. *)
Definition quotient (a d r : R) : Prop :=
  (exists a', reads a a' /\ rounded (a' / d) r) \/
  (exists i, rounded (/ d) i /\ operation Rmult a i r).

Lemma computes_operation f a b r : computes f (Finite a) (Finite b) (Finite r) ->
  (forall a' b', reads a a' -> reads b b' -> Rabs (f a' b') <= largest) -> operation f a b r.
Proof.
  intros H Hl. destruct (H a b eq_refl eq_refl) as (a' & b' & Ha & Hb & Hr).
  destruct (rounds_error _ _ Hr (Hl _ _ Ha Hb)) as (p & Hp & K). exists a', b'.
  repeat split; [exact Ha|exact Hb|].
  injection Hp as ->. exact K.
Qed.

(** ** Computed numbers: [v] is within [k] roundings of terms of magnitude [M], and [D], of [t] *)

Definition about (k : nat) (M D t v : R) : Prop :=
  0 <= D /\ Rabs t <= M /\ Rabs (v - t) <= ((1 + u) ^ k - 1) * M + (1 + u) ^ k * D.

Lemma about_M k M D t v : about k M D t v -> 0 <= M.
Proof. intros (_ & H & _). apply Rle_trans with (2 := H), Rabs_pos. Qed.

Lemma about_more k k' M D D' t v : about k M D t v -> (k <= k')%nat -> D <= D' -> about k' M D' t v.
Proof.
  intros H Hk HD. assert (HM := about_M _ _ _ _ _ H). destruct H as (D0 & Ht & Hv). split; [lra|].
  split; [exact Ht|].
  assert (K : (1 + u) ^ k <= (1 + u) ^ k') by (apply Rle_pow; [generalize u_pos; lra|exact Hk]).
  assert (P := pow_1u k).
  assert (((1 + u) ^ k - 1) * M <= ((1 + u) ^ k' - 1) * M) by (apply Rmult_le_compat_r; lra).
  assert ((1 + u) ^ k * D <= (1 + u) ^ k' * D') by (apply Rmult_le_compat; lra). lra.
Qed.

Lemma about_itself t : about 0 (Rabs t) 0 t t.
Proof. split; [lra|]. split; [lra|]. simpl. rewrite Rminus_diag_eq, Rabs_R0 by easy. lra. Qed.

Lemma about_reads k M D t v v' : about k M D t v -> reads v v' -> about k M (D + eta) t v'.
Proof.
  intros (D0 & Ht & Hv) R. assert (He := eta_pos). split; [lra|]. split; [exact Ht|].
  replace (v' - t) with ((v' - v) + (v - t)) by ring. apply Rle_trans with (1 := Rabs_triang _ _).
  assert (K := reads_error _ _ R). assert (P := pow_1u k).
  assert (1 * eta <= (1 + u) ^ k * eta) by (apply Rmult_le_compat_r; lra). lra.
Qed.

Lemma about_rounded k M D t v r : about k M D t v -> rounded v r -> about (S k) M (D + eta) t r.
Proof.
  intros H R. assert (HM := about_M _ _ _ _ _ H). destruct H as (D0 & Ht & Hv).
  assert (He := eta_pos). assert (Hu := u_pos). split; [lra|]. split; [exact Ht|].
  replace (r - t) with ((r - v) + (v - t)) by ring. apply Rle_trans with (1 := Rabs_triang _ _).
  unfold rounded in R. assert (A : Rabs v <= M + Rabs (v - t)).
  { replace v with ((v - t) + t) at 1 by ring. apply Rle_trans with (1 := Rabs_triang _ _). lra. }
  assert (u * Rabs v <= u * (M + Rabs (v - t))) by (apply Rmult_le_compat_l; lra).
  assert (u * Rabs (v - t) <= u * (((1 + u) ^ k - 1) * M + (1 + u) ^ k * D))
    by (apply Rmult_le_compat_l; lra).
  assert (P := pow_1u (S k)).
  assert (1 * eta <= (1 + u) ^ S k * eta) by (apply Rmult_le_compat_r; lra).
  change ((1 + u) ^ S k) with ((1 + u) * (1 + u) ^ k) in *. lra.
Qed.

Lemma about_plus k M1 D1 t1 v1 M2 D2 t2 v2 : about k M1 D1 t1 v1 -> about k M2 D2 t2 v2 ->
  about k (M1 + M2) (D1 + D2) (t1 + t2) (v1 + v2).
Proof.
  intros (A1 & B1 & C1) (A2 & B2 & C2). split; [lra|].
  split; [apply Rle_trans with (1 := Rabs_triang _ _); lra|].
  replace (v1 + v2 - (t1 + t2)) with ((v1 - t1) + (v2 - t2)) by ring.
  apply Rle_trans with (1 := Rabs_triang _ _). lra.
Qed.

Lemma about_opp k M D t v : about k M D t v -> about k M D (- t) (- v).
Proof.
  intros (A & B & C). split; [exact A|]. rewrite Rabs_Ropp. split; [exact B|].
  replace (- v - - t) with (- (v - t)) by ring. now rewrite Rabs_Ropp.
Qed.

Lemma about_minus k M1 D1 t1 v1 M2 D2 t2 v2 : about k M1 D1 t1 v1 -> about k M2 D2 t2 v2 ->
  about k (M1 + M2) (D1 + D2) (t1 - t2) (v1 - v2).
Proof. intros H1 H2. unfold Rminus. apply about_plus; [exact H1|now apply about_opp]. Qed.

Lemma about_mult j k Mf Df f f' M D x x' : about j Mf Df f f' -> about k M D x x' ->
  about (j + k) (Mf * M) (Mf * D + Df * (M + D)) (f * x) (f' * x').
Proof.
  intros Hf Hx. assert (M1 := about_M _ _ _ _ _ Hf). assert (M2 := about_M _ _ _ _ _ Hx).
  destruct Hf as (A1 & B1 & C1). destruct Hx as (A2 & B2 & C2).
  assert (P1 := pow_1u j). assert (P2 := pow_1u k). unfold about. rewrite pow_add.
  set (a := (1 + u) ^ j) in *. set (b := (1 + u) ^ k) in *.
  split; [apply Rplus_le_le_0_compat; apply Rmult_le_pos; lra|].
  split; [rewrite Rabs_mult; apply Rmult_le_compat; auto using Rabs_pos|].
  assert (X : Rabs x' <= b * (M + D)).
  { replace x' with ((x' - x) + x) by ring. apply Rle_trans with (1 := Rabs_triang _ _). lra. }
  replace (f' * x' - f * x) with ((f' - f) * x' + f * (x' - x)) by ring.
  apply Rle_trans with (1 := Rabs_triang _ _). rewrite !Rabs_mult.
  assert (Rabs (f' - f) * Rabs x' <= ((a - 1) * Mf + a * Df) * (b * (M + D)))
    by (apply Rmult_le_compat; auto using Rabs_pos).
  assert (Rabs f * Rabs (x' - x) <= Mf * ((b - 1) * M + b * D))
    by (apply Rmult_le_compat; auto using Rabs_pos).
  lra.
Qed.

(** One operation. *)
Lemma about_operation_plus k M1 D1 t1 v1 M2 D2 t2 v2 r : about k M1 D1 t1 v1 ->
  about k M2 D2 t2 v2 ->
  operation Rplus v1 v2 r -> about (S k) (M1 + M2) (D1 + D2 + 3 * eta) (t1 + t2) r.
Proof.
  intros H1 H2 (a & b & Ha & Hb & Hr).
  assert (K :=
    about_rounded _ _ _ _ _ _
    (about_plus _ _ _ _ _ _ _ _ _ (about_reads _ _ _ _ _ _ H1 Ha) (about_reads _ _ _ _ _ _ H2 Hb))
    Hr).
  apply (about_more _ _ _ _ _ _ _ K); [lia|lra].
Qed.

Lemma about_operation_minus k M1 D1 t1 v1 M2 D2 t2 v2 r : about k M1 D1 t1 v1 ->
  about k M2 D2 t2 v2 ->
  operation Rminus v1 v2 r -> about (S k) (M1 + M2) (D1 + D2 + 3 * eta) (t1 - t2) r.
Proof.
  intros H1 H2 (a & b & Ha & Hb & Hr).
  assert (K :=
    about_rounded _ _ _ _ _ _
    (about_minus _ _ _ _ _ _ _ _ _ (about_reads _ _ _ _ _ _ H1 Ha) (about_reads _ _ _ _ _ _ H2 Hb))
    Hr).
  apply (about_more _ _ _ _ _ _ _ K); [lia|lra].
Qed.

Lemma about_operation_mult j k Mf Df f f' M D x x' r : about j Mf Df f f' -> about k M D x x' ->
  operation Rmult f' x' r ->
  about (S (j + k)) (Mf * M) (Mf * (D + eta) + (Df + eta) * (M + D + eta) + eta) (f * x) r.
Proof.
  intros H1 H2 (a & b & Ha & Hb & Hr).
  assert (K :=
    about_rounded _ _ _ _ _ _
    (about_mult _ _ _ _ _ _ _ _ _ _ (about_reads _ _ _ _ _ _ H1 Ha) (about_reads _ _ _ _ _ _ H2 Hb))
    Hr).
  apply (about_more _ _ _ _ _ _ _ K); [lia|lra].
Qed.

Lemma operation_mult_comm a b r : operation Rmult a b r -> operation Rmult b a r.
Proof. intros (a' & b' & Ha & Hb & Hr). exists b', a'. rewrite Rmult_comm. auto. Qed.

(** ** Underflow: products of numbers that are not negative, and [eta] times them *)

Lemma eta_tiny x : 0 <= x -> 0 <= eta * x <= / 64 * x.
Proof.
  intros. generalize eta_pos. intros.
  split; [apply Rmult_le_pos; lra|apply Rmult_le_compat_r; [lra|unfold eta; lra]].
Qed.

Ltac nonneg_products g s m e :=
  assert (0 <= g * s) by (apply Rmult_le_pos; lra);
  assert (0 <= g * m) by (apply Rmult_le_pos; lra);
  assert (0 <= g * e) by (apply Rmult_le_pos; lra);
  assert (0 <= s * m) by (apply Rmult_le_pos; lra);
  assert (0 <= s * e) by (apply Rmult_le_pos; lra);
  assert (0 <= g * s * m) by (apply Rmult_le_pos; lra);
  assert (0 <= g * s * e) by (apply Rmult_le_pos; lra);
  generalize (eta_tiny eta (Rlt_le _ _ eta_pos)) (eta_tiny 1 ltac:(lra)) (eta_tiny g ltac:(lra))
  (eta_tiny s ltac:(lra)) (eta_tiny m ltac:(lra)) (eta_tiny e ltac:(lra))
    (eta_tiny (g * s) ltac:(lra)) (eta_tiny (g * m) ltac:(lra)) (eta_tiny (g * e) ltac:(lra))
    (eta_tiny (s * m) ltac:(lra))
    (eta_tiny (s * e) ltac:(lra)) (eta_tiny (g * s * m) ltac:(lra))
    (eta_tiny (g * s * e) ltac:(lra)); intros.

(** [left = a + eta * q <= a + 32 eta p] from [q <= 32 p]. *)
Ltac by_eta a q := match goal with |- ?x <= _ => replace x with (a + eta * (q)) by ring end;
  apply Rplus_le_compat_l;
  match goal with |- _ <= 32 * eta * ?p => replace (32 * eta * p) with (eta * (32 * p)) by ring end;
  apply Rmult_le_compat_l; [apply Rlt_le, eta_pos|].
