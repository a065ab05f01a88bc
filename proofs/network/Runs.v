(** * Programs that compute in IEEE 754 binary32

    - [float_of]: the constants of a network as floats; [computed]: a unit computed by a loop of
      Loops.v, from 0 and from left to right, with or without fused multiply-add, a gate by one
      multiplication, a curve by a library; [ieee_run]: all units, and softmax as in IeeeSoftmax.v;
    - [ieee_run_exists]: of every network there is one, on every image;
    - [ieee_no_overflow]: in a network that is [always_finite] none of its numbers overflows;
    - [ieee_execution]: then it is an execution. So the statement speaks of programs as they are
      written.

    Rests on Loops.v, IeeeSoftmax.v and Exists.v. *)

From Coq Require Import Reals Lra Lia List ZArith.
From Flocq Require Import Core IEEE754.Binary IEEE754.Bits.
From Flocq Require IEEE754.BinarySingleNaN.
Import BinarySingleNaN(mode(..)).
From Lastbit Require Import Statement Totals binary32.Terms binary32.Rounding binary32.Ieee
  binary32.Loops curves.IeeeSoftmax network.Exists.
Import ListNotations.
Open Scope R_scope.

(** ** Constants *)

Definition storable (c : R) : Prop := format (-149) 24 c /\ Rabs c <= largest.

(** The number [c] of the format, as a float. *)
Definition float_of (c : R) : binary32 :=
  binary_normalize 24 128 eq_refl eq_refl mode_NE (Ztrunc (scaled_mantissa radix2 (SpecFloat.fexp
    24 128) c))
    (cexp radix2 (SpecFloat.fexp 24 128) c) false.

Lemma float_of_is c : storable c -> finite (float_of c) = true /\ real_of (float_of c) = c.
Proof.
  intros [F L]. assert (K := binary_normalize_correct 24 128 eq_refl eq_refl mode_NE
    (Ztrunc (scaled_mantissa radix2 (SpecFloat.fexp 24 128) c)) (cexp radix2 (SpecFloat.fexp 24
      128) c) false).
  cbv zeta in K. fold (float_of c) in K.
  assert (F' : generic_format radix2 (SpecFloat.fexp 24 128) c) by exact F.
  assert (E : F2R (Float radix2 (Ztrunc (scaled_mantissa radix2 (SpecFloat.fexp 24 128) c)) (cexp
    radix2 (SpecFloat.fexp 24 128) c)) = c)
    by (symmetry; exact F').
  rewrite E in K. rewrite round_generic in K; [|typeclasses eauto|exact F'].
  rewrite Rlt_bool_true in K; [tauto|]. apply Rle_lt_trans with (1 := L). rewrite largest_bpow.
  generalize (bpow_gt_0 radix2 104). lra.
Qed.

Definition float_factor_of (f : factor) : float_factor := match f with Times c =>
  By (float_of c) | Over c => DividedBy (float_of c) end.
Definition storable_factor (f : factor) : Prop := match f with Times c | Over c => storable c end.

Lemma factors_are fs : Forall storable_factor fs ->
  Forall finite_factor (map float_factor_of fs) /\ map factor_of (map float_factor_of fs) = fs.
Proof.
  induction 1 as [|f fs H _ [I1 I2]]; [split; constructor|]. cbn [map]. rewrite I2.
  destruct f as [c|c]; cbn [float_factor_of factor_of]; destruct (float_of_is c H) as [F ->];
    now split; [constructor|].
Qed.

(** The constants of a network are numbers of binary32. *)
Definition storable_unit (o : operation) : Prop :=
  match o with
  | Sum ws bs => Forall (fun w => Forall storable_factor (fst w)) ws /\
                 Forall (fun t => Forall storable_factor (fst t) /\ storable (snd t)) bs
  | _ => True
  end.

(** ** Units *)

Section Program.
Variable m : mode.
Hypothesis Hm : nearest_mode m.

(** One step of a loop, [plain] or [fused]; and the library. *)
Variable step : binary32 -> float_term -> binary32.
Hypothesis Hstep : step = plain m \/ step = fused m.
Variables sigmoids silus exps : binary32 -> binary32.
Hypothesis Hsigmoid : forall a, computes_sigmoid (value_of a) (value_of (sigmoids a)).
Hypothesis Hsilu : forall a, computes_silu (value_of a) (value_of (silus a)).
Hypothesis Hexp : forall a, real_of a <= 0 -> computes_exp (value_of a) (value_of (exps a)).
Hypothesis exp_positive : forall a, 0 <= real_of (exps a).

Lemma step_right : steps_right step.
Proof. destruct Hstep as [->| ->]; intros l acc t; [now apply plain_sum|now apply fused_sum]. Qed.

(** The terms of a sum, given the units' floats. *)
Definition float_terms (ws : list (list factor * nat)) (bs : list term) (d : nat ->
  binary32) : list float_term :=
  map (fun w => (map float_factor_of (fst w), d (snd w))) ws ++
  map (fun t => (map float_factor_of (fst t), float_of (snd t))) bs.

Definition computed (v : nat -> Z) (o : operation) (d : nat -> binary32) : binary32 :=
  match o with
  | Pixel p => float_of (IZR (v p))
  | Sum ws bs => fold_left step (float_terms ws bs d) zero
  | Sigmoid j => sigmoids (d j)
  | Silu j => silus (d j)
  | Gate i j => b32_mult m (d i) (d j)
  end.

Lemma byte_storable z : (0 <= z <= 255)%Z -> storable (IZR z).
Proof.
  intros H. split.
  - replace (IZR z) with (F2R (Float radix2 z 0)) by (unfold F2R; cbn; lra).
    apply generic_format_F2R. intros N.
    unfold cexp, FLT_exp. assert (M : (mag radix2 (F2R (Float radix2 z 0)) <= 8)%Z).
    { apply mag_le_bpow; [unfold F2R; cbn; rewrite Rmult_1_r;
        now apply IZR_neq|]. unfold F2R. cbn [Fnum Fexp]. cbn.
      rewrite Rmult_1_r. rewrite <- abs_IZR. apply IZR_lt. lia. }
    lia.
  - destruct H as [H1 H2]. apply IZR_le in H1, H2. rewrite Rabs_pos_eq by lra. unfold largest. lra.
Qed.

Theorem computed_performs v o d : image v -> storable_unit o ->
  performs o v (fun j => value_of (d j)) (value_of (computed v o d)).
Proof.
  intros Hv Hs. destruct o as [p|ws bs|j|j|i j]; cbn [performs computed].
  - destruct (float_of_is _ (byte_storable _ (Hv p))) as [F E]. now rewrite (finite_value _ F), E.
  - intros r Hr. destruct Hs as [Hw Hb].
    assert (F : Forall finite_term (float_terms ws bs d)).
    { apply Forall_app. rewrite Forall_forall in Hw, Hb. split; apply Forall_forall; intros t Ht;
        apply in_map_iff in Ht.
      - destruct Ht as (w & <- & I). split; [apply (factors_are _ (Hw w I))|].
        apply (value_of_finite _ (r (snd w))).
        apply Hr. now apply in_map.
      - destruct Ht as (t' & <- & I). destruct (Hb t' I) as [H1 H2].
        split; [apply (factors_are _ H1)|apply (float_of_is _ H2)]. }
    replace (terms ws bs r) with (map term_of (float_terms ws bs d) ++ []).
    { apply loop_sum; [exact step_right|exact F|exact zero_sum]. }
    rewrite app_nil_r. unfold float_terms, terms. rewrite map_app, !map_map.
    rewrite Forall_forall in Hw, Hb. f_equal.
    + apply map_ext_in. intros w I. unfold term_of. cbn [fst snd].
      rewrite (proj2 (factors_are _ (Hw w I))). f_equal.
      apply (value_of_finite _ (r (snd w))). apply Hr. now apply in_map.
    + rewrite <- (map_id bs) at 2. apply map_ext_in. intros t I. destruct (Hb t I) as [H1 H2].
      unfold term_of. cbn [fst snd].
      rewrite (proj2 (factors_are _ H1)), (proj2 (float_of_is _ H2)). now destruct t.
  - apply Hsigmoid.
  - apply Hsilu.
  - now apply mult_computes.
Qed.

Lemma computed_ext v o d d' : (forall j, In j (operands o) -> d j = d' j) ->
  computed v o d = computed v o d'.
Proof.
  destruct o as [p|ws bs|j|j|i j]; cbn [operands computed]; intros H;
    try (rewrite ?H by (simpl; auto); reflexivity).
  f_equal. unfold float_terms. f_equal. apply map_ext_in. intros w Hw.
  now rewrite H by now apply in_map.
Qed.

(** ** Runs *)

Section Network.
Variables (net : network) (v : nat -> Z).
Let n : nat := length (logits net).
Definition logit (d : nat -> binary32) (c : nat) : binary32 := d (nth c (logits net) 0%nat).

(** The floats [d] of all units, and the probabilities [p]. *)
Definition ieee_run (d p : nat -> binary32) : Prop :=
  (forall k o, nth_error (units net) k = Some o -> d k = computed v o d) /\
  exists k, (k < n)%nat /\ (forall j, (j < n)%nat -> real_of (logit d j) <= real_of (logit d k)) /\
  forall c, p c = softmax_float m exps n (logit d) k c.

Theorem ieee_run_exists : earlier (units net) -> logits net <> [] -> exists d p, ieee_run d p.
Proof.
  intros H N. set (d := fun k => nth k (run binary32 zero (computed v) [] (units net)) zero).
  destruct (argmax n (fun j => real_of (logit d j))) as (k & Hk & L).
  { unfold n. destruct (logits net); [easy|cbn; lia]. }
  exists d, (softmax_float m exps n (logit d) k). split; [|now exists k].
  intros i o E. exact (run_at binary32 zero (computed v) (computed_ext v) [] _ H i o E).
Qed.

Hypothesis Hv : image v.
Hypothesis constants : Forall storable_unit (units net).

Lemma ieee_performs d p k o : ieee_run d p -> nth_error (units net) k = Some o ->
  performs o v (fun j => value_of (d j)) (value_of (d k)).
Proof.
  intros [H _] E. rewrite (H k o E). apply computed_performs; [exact Hv|].
  rewrite Forall_forall in constants.
  apply constants. now apply nth_error_In with k.
Qed.

Theorem ieee_no_overflow d p : always_finite net -> ieee_run d p ->
  forall k, (k < length (units net))%nat -> finite (d k) = true.
Proof.
  intros F H k Hk. assert (N : logits net <> []).
  { destruct H as (_ & j & Hj & _). unfold n in Hj. intros E. rewrite E in Hj. cbn in Hj. lia. }
  destruct (units_finite net v (fun k => value_of (d k)) F Hv N (fun k o =>
    ieee_performs d p k o H) k Hk) as [r E].
  exact (proj1 (value_of_finite _ _ E)).
Qed.

(* map: loops of IEEE operations are executions *)
Theorem ieee_execution d p : always_finite net ->
  (forall l, In l (logits net) -> (l < length (units net))%nat) -> ieee_run d p ->
  execution net v (fun k => value_of (d k)) (fun c => value_of (p c)).
Proof.
  intros F I H. split; [intros k o; exact (ieee_performs d p k o H)|].
  assert (O := ieee_no_overflow d p F H). destruct H as (_ & k & Hk & L & E). fold n.
  assert (S := softmax_computed m Hm exps Hexp exp_positive n (logit d) k Hk). cbv beta in S.
  destruct S as (k' & a & b & s & S1 & S2 & S3 & S4 & S5 & S6).
  { intros j Hj. split; [|now apply L]. apply O, I, nth_In, Hj. }
  exists k', a, b, s. split; [exact S1|]. split; [exact S2|]. split; [exact S3|].
  split; [exact S4|].
  split; intros j; [|intros r]; rewrite E; [apply S5|apply S6].
Qed.
End Network.
End Program.
