(** * Stored lines: what the operations of Lines.v give

    - [combined_value], [combined_good]: a rounded combination is within half a unit of the last
      place, for each of its entries, of the exact one; its norms and its number of entries are
      right;
    - [extended_value], [extended_good]: a line with one entry more;
    - [low_ok], [high_ok], [norm_ok], [each_ok]: sums over all units, from the norms.

    Rests on LineSums.v and LineRounding.v. *)

From Coq Require Import Reals Lra Lia ZArith List Bool Uint63.
From Lastbit Require Import Totals checker.Program checker.Numbers fast.Lines fast.LineSums
  fast.LineRounding.
Import ListNotations.
Open Scope Z_scope.

(** ** What is kept with a line *)

(** What is kept with a line is so, and small enough for machine integers; its units are before [k].
    *)
Record good (B : int) (k : nat) (s : stored) : Prop := {
  g_below : below k (s_line s);
  g_low : plain (s_low s) = norm (fun g => (g <? B)%uint63) (s_line s);
  g_high : plain (s_high s) = norm (fun g => negb (g <? B)%uint63) (s_line s);
  g_count : plain (s_count s) = entries (s_line s);
  g_small : whole (s_line s) < 2 ^ 62;
  g_few : entries (s_line s) < 2 ^ 40 }.

Lemma good_norm B k s : good B k s -> plain (s_low s) + plain (s_high s) = whole (s_line s).
Proof. intros []. rewrite g_low0, g_high0. apply norm_parts. Qed.

Lemma measuring_line B l a : forall low high count, s_line (measuring B l a low high count) = l.
Proof.
  induction a as [|g v a IH]; intros; [reflexivity|]. cbn [measuring]. cbv zeta.
  now destruct (g <? B)%uint63.
Qed.

Lemma measuring_ok B l a : forall low high count,
  plain low + whole a < 2 ^ 63 -> plain high + whole a < 2 ^ 63 ->
  plain count + entries a < 2 ^ 63 ->
  let s := measuring B l a low high count in
  plain (s_low s) = plain low + norm (fun g => (g <? B)%uint63) a /\
    plain (s_high s) = plain high + norm (fun g => negb (g <? B)%uint63) a /\
    plain (s_count s) = plain count + entries a.
Proof.
  induction a as [|g v a IH]; intros low high count Hl Hh Hc; [cbn; lia|].
  rewrite whole_cons in *. cbn [norm entries measuring] in *. assert (P := norm_pos all a).
  assert (Q := entries_pos a).
  assert (C : plain (count + 1)%uint63 = plain count + 1)
    by (apply plain_add; change (plain 1) with 1; lia).
  cbv zeta. generalize (plain_magnitude v). generalize (magnitude v). intros x M.
  destruct (g <? B)%uint63; cbn [negb].
  - assert (L : plain (low + x)%uint63 = plain low + Z.abs (signed v))
      by (rewrite <- M; apply plain_add; lia).
    destruct (IH (low + x)%uint63 high (count + 1)%uint63) as (I1 & I2 & I3); lia.
  - assert (L : plain (high + x)%uint63 = plain high + Z.abs (signed v))
      by (rewrite <- M; apply plain_add; lia).
    destruct (IH low (high + x)%uint63 (count + 1)%uint63) as (I1 & I2 & I3); lia.
Qed.

Lemma measured_good B k l : below k l -> whole l < 2 ^ 62 -> entries l < 2 ^ 40 ->
  good B k (measured B l).
Proof.
  intros Hb Hw He. destruct (measuring_ok B l l 0%uint63 0%uint63 0%uint63) as (I1 & I2 & I3);
    change (plain 0) with 0 in *; try lia.
  split; unfold measured; rewrite ?measuring_line; assumption.
Qed.

(** ** Sums of several lines *)

Notation norm_of s := (whole (s_line s)).
(** The magnitudes in a sum of lines times integers, all together; and the number of entries. *)
Definition load (terms : list (int * stored)) : Z :=
  zsum (map (fun t => Z.abs (signed (fst t)) * norm_of (snd t)) terms).
Definition crowd (terms : list (int * stored)) : Z :=
  zsum (map (fun t => entries (s_line (snd t))) terms).

(** The number of a line at unit [g]; and of a sum of lines. *)
Definition value (s : stored) (g : nat) : Z := entry_sum (s_line s) g.
Definition combination (terms : list (int * stored)) (g : nat) : Z :=
  zsum (map (fun t => signed (fst t) * value (snd t) g) terms).

Lemma load_cons c s terms : load ((c, s) :: terms) = Z.abs (signed c) * norm_of s + load terms.
Proof. reflexivity. Qed.

Lemma crowd_cons c s terms : crowd ((c, s) :: terms) = entries (s_line s) + crowd terms.
Proof. reflexivity. Qed.

Lemma load_pos terms : 0 <= load terms.
Proof.
  induction terms as [|[c s] terms IH]; [easy|]. rewrite load_cons.
  generalize (norm_pos all (s_line s)). nia.
Qed.

Lemma gathered_ok terms : load terms < 2 ^ 62 -> whole (gathered terms) <= load terms /\
  (forall g, entry_sum (gathered terms) g = combination terms g) /\ entries (gathered terms) <=
  crowd terms /\
  (forall k, Forall (fun t => below k (s_line (snd t))) terms -> below k (gathered terms)).
Proof.
  induction terms as [|[c s] terms IH]; [easy|]. intros H. cbn [gathered fold_right fst snd].
  fold (gathered terms). rewrite load_cons in *. assert (P := norm_pos all (s_line s)).
  assert (P' := load_pos terms). destruct IH as (W & E & N & B); [nia|].
  destruct (added_sum c (s_line s) (gathered terms)) as [SE SW SN SB]; [lia|]. repeat split.
  - lia.
  - intros g. rewrite SE, E. reflexivity.
  - rewrite crowd_cons. lia.
  - intros k F. inversion F; subst. now apply SB, B.
Qed.

Lemma room_ok B k terms : forall sum count, Forall (fun t => good B k (snd t)) terms ->
  room terms sum count = true ->
  plain sum < 2 ^ 62 -> plain count < 2 ^ 40 ->
  plain sum + load terms < 2 ^ 62 /\ plain count + crowd terms < 2 ^ 40.
Proof.
  induction terms as [|[c s] terms IH]; intros sum count F H Hs Hc;
    [change (load []) with 0; change (crowd []) with 0; lia|].
  inversion F as [|? ? G F']; subst. cbn [snd] in G. assert (N := good_norm _ _ _ G).
  cbn [room] in H. assert (M := Uint63.mulc_spec (magnitude c) (s_low s + s_high s)%uint63).
  rewrite plain_magnitude, plain_add, N in M by (generalize (g_small _ _ _ G); lia).
  destruct (mulc (magnitude c) (s_low s + s_high s)) as [high x]. cbn [fst snd] in M.
  destruct (_ && _) eqn:E in H; [|discriminate]. rewrite !andb_true_iff, !Uint63.ltb_spec in E.
  destruct E as (((E1 & E2) & E3) & E4).
  apply Uint63.eqb_correct in E1. subst high. change (plain 0) with 0 in M.
  change (plain limit_sum) with (2 ^ 62) in *. change (plain limit_count) with (2 ^ 40) in *.
  assert (A := plain_add sum x ltac:(lia)). assert (C := plain_add count (s_count s)).
  rewrite (g_count _ _ _ G) in C. specialize (C ltac:(generalize (g_few _ _ _ G); lia)).
  destruct (IH _ _ F' H) as [I1 I2]; try lia.
  rewrite load_cons, crowd_cons. lia.
Qed.

Open Scope R_scope.

(** ** The results *)

Lemma good_empty B k : good B k empty.
Proof. split; easy. Qed.

Lemma good_later B k k' s : (k <= k')%nat -> good B k s -> good B k' s.
Proof. intros H []. split; try assumption. now apply (below_later k). Qed.

Lemma combined_parts B e terms k s : Forall (fun t => good B k (snd t)) terms ->
  combined B e terms = Some s ->
  let half := ((1 << e) >> 1)%uint63 in
  let r := rounded (limit_sum + half) (limit_sum >> e) e (gathered terms) in
  (plain e < 62)%Z /\ s = measured B r /\ (whole (gathered terms) + plain half < 2 ^ 62)%Z /\
  (forall g, entry_sum (gathered terms) g = combination terms g) /\ good B k s.
Proof.
  intros F H half r. unfold combined in H. fold half r in H.
  destruct (_ && _) eqn:E in H; [|discriminate]. injection H as <-. apply andb_true_iff in E.
  destruct E as [He E]. apply Uint63.ltb_spec in He. change (plain 62) with 62%Z in He.
  assert (Hh : (plain half < 2 ^ 62)%Z).
  { unfold half. rewrite half_is by exact He. assert (U := unit_pos e).
    apply Z.lt_le_trans with (2 ^ plain e)%Z; [apply Z.div_lt; lia|apply Z.pow_le_mono_r; lia]. }
  destruct (room_ok B k terms half 0%uint63 F E Hh ltac:(reflexivity)) as [L C].
  change (plain 0) with 0%Z in C. assert (P := plain_range half).
  destruct (gathered_ok terms ltac:(lia)) as (W & V & N & Bl).
  assert (S : (whole (gathered terms) + plain half < 2 ^ 62)%Z) by lia.
  destruct (rounded_ok e He (gathered terms) S) as (W' & N' & Bl'). fold half r in W', N', Bl'.
  repeat split; try assumption; apply (measured_good B k r); try lia; apply Bl', Bl;
    apply Forall_impl with (2 := F); intros t; apply g_below.
Qed.

(** A rounded combination of good lines is good, *)
Theorem combined_good B e terms k s : Forall (fun t => good B k (snd t)) terms ->
  combined B e terms = Some s -> good B k s.
Proof. intros F H. now destruct (combined_parts B e terms k s F H) as (_ & _ & _ & _ & G). Qed.

(** and within half a unit of the exact one, for each entry. *)
Theorem combined_value B e terms k s n : Forall (fun t => good B k (snd t)) terms ->
  combined B e terms = Some s ->
  over n (fun g => Rabs (IZR (value s g) - IZR (combination terms g) / IZR (2 ^ plain e))) <=
  IZR (plain (s_count s)) / 2.
Proof.
  intros F H. destruct (combined_parts B e terms k s F H) as (He & Es & L & V & G). cbv zeta in *.
  rewrite (g_count _ _ _ G). unfold value. rewrite Es. unfold measured. rewrite measuring_line.
  apply Rle_trans with (2 := rounded_error e He n (gathered terms) L). right. apply over_ext.
  intros g _. now rewrite V.
Qed.

Lemma extended_parts B k s g v s' : good B k s -> extended B s g v = Some s' ->
  s_line s' = Entry g v (s_line s) /\
  (forall k', (k <= k')%nat -> (plain g < Z.of_nat k')%Z -> good B k' s').
Proof.
  intros G H. assert (N := good_norm _ _ _ G). assert (G' := G). destruct G' as [Gb Gl Gh Gc Gs Gf].
  unfold extended in H. cbv zeta in H. destruct (_ && _) eqn:E in H; [|discriminate].
  rewrite andb_true_iff, !Uint63.ltb_spec in E. destruct E as [E1 E2]. revert H E1.
  generalize (plain_magnitude v). generalize (magnitude v). intros x M H E1.
  change (plain limit_sum) with (2 ^ 62)%Z in E1. change (plain limit_count) with (2 ^ 40)%Z in E2.
  assert (R := plain_range (s_low s)). assert (R' := plain_range (s_high s)).
  assert (Rx := signed_small v).
  assert (C : plain (s_count s + 1)%uint63 = (1 + entries (s_line s))%Z)
    by (rewrite plain_add; change (plain 1) with 1%Z; lia).
  rewrite C in E2. rewrite plain_add in E1 by (rewrite plain_add; lia).
  rewrite plain_add in E1 by lia.
  assert (L : plain (s_low s + x)%uint63 = (Z.abs (signed v) + plain (s_low s))%Z)
    by (rewrite plain_add; lia).
  assert (T : plain (s_high s + x)%uint63 = (Z.abs (signed v) + plain (s_high s))%Z)
    by (rewrite plain_add; lia).
  destruct (g <? B)%uint63 eqn:Q; injection H as <-; (split; [reflexivity|]); intros k' Hk Hg;
    (split; cbn [s_line s_low s_high s_count]; [split; [exact Hg|now apply (below_later k)]|
      | |exact C| |exact E2]);
    rewrite ?whole_cons; cbn [norm]; rewrite ?Q; cbn [negb]; lia.
Qed.

(** A line with one entry more. *)
Theorem extended_good B k s g v s' k' : good B k s -> extended B s g v = Some s' -> (k <= k')%nat ->
  (plain g < Z.of_nat k')%Z -> good B k' s'.
Proof. intros G H. exact (proj2 (extended_parts B k s g v s' G H) k'). Qed.

Theorem extended_value B k s g v s' j : good B k s -> extended B s g v = Some s' ->
  value s' j = (value s j + if Z.of_nat j =? plain g then signed v else 0)%Z.
Proof.
  intros G H. unfold value. rewrite (proj1 (extended_parts B k s g v s' G H)). cbn [entry_sum]. lia.
Qed.

Theorem value_beyond B k s g : good B k s -> (k <= g)%nat -> value s g = 0%Z.
Proof. intros G. apply entry_below, G. Qed.

Lemma norm_over n (P : nat -> bool) (p : int -> bool) l :
  (forall h g, Z.of_nat g = plain h -> P g = p h) ->
  over n (fun g => if P g then Rabs (IZR (entry_sum l g)) else 0) <= IZR (norm p l).
Proof.
  intros E. induction l as [|h v l IH]; cbn [entry_sum norm].
  - right. rewrite (over_cut n 0); [reflexivity|lia|]. intros j _. rewrite Rabs_R0.
    now destruct (P j).
  - rewrite plus_IZR. set (x := if p h then Rabs (IZR (signed v)) else 0).
    assert (X : 0 <= x) by (unfold x; destruct (p h); [apply Rabs_pos|lra]).
    apply Rle_trans with (over n (fun g => (if (Z.of_nat g =? plain h)%Z then x else 0) +
      (if P g then Rabs (IZR (entry_sum l g)) else 0))).
    + apply over_le. intros j _. rewrite plus_IZR.
      destruct (Z.eqb_spec (Z.of_nat j) (plain h)) as [K|K].
      * unfold x. rewrite (E h j K). destruct (p h); [apply Rabs_triang|lra].
      * rewrite !Rplus_0_l. apply Rle_refl.
    + rewrite over_plus. apply Rplus_le_compat; [|exact IH].
      apply Rle_trans with (1 := over_key n h x X). unfold x. rewrite <- abs_IZR.
      destruct (p h); lra.
Qed.

Lemma early_key B h g : Z.of_nat g = plain h -> (Z.of_nat g <? plain B)%Z = (h <? B)%uint63.
Proof.
  intros ->. destruct (Uint63.ltbP h B); [now apply Z.ltb_lt|now apply Z.ltb_ge, Z.nlt_ge].
Qed.

Theorem low_ok B k s n : good B k s ->
  over n (fun g => if (Z.of_nat g <? plain B)%Z then Rabs (IZR (value s g)) else 0) <=
  IZR (plain (s_low s)).
Proof.
  intros G. rewrite (g_low _ _ _ G). apply (norm_over n (fun g => (Z.of_nat g <? plain B)%Z)).
  apply early_key.
Qed.

Theorem high_ok B k s n : good B k s ->
  over n (fun g => if (Z.of_nat g <? plain B)%Z then 0 else Rabs (IZR (value s g))) <=
  IZR (plain (s_high s)).
Proof.
  intros G. rewrite (g_high _ _ _ G).
  apply Rle_trans with (2 := norm_over n (fun g => negb (Z.of_nat g <? plain B)%Z) _ _
    (fun h g E => f_equal negb (early_key B h g E))).
  right. apply over_ext. intros g _. now destruct (Z.of_nat g <? plain B)%Z.
Qed.

Theorem norm_ok B k s n : good B k s ->
  over n (fun g => Rabs (IZR (value s g))) <= IZR (plain (s_low s) + plain (s_high s)).
Proof.
  intros G. rewrite (good_norm _ _ _ G).
  exact (norm_over n (fun _ => true) all _ (fun _ _ _ => eq_refl)).
Qed.

Theorem each_ok B k s g : good B k s -> (Z.abs (value s g) <= plain (s_low s) + plain (s_high s))%Z.
Proof. intros G. rewrite (good_norm _ _ _ G). apply entry_norm. Qed.

Theorem good_sum B k s : good B k s ->
  plain (s_low s + s_high s)%uint63 = (plain (s_low s) + plain (s_high s))%Z /\
  (plain (s_low s + s_high s)%uint63 < 2 ^ 62)%Z.
Proof.
  intros G. assert (N := good_norm _ _ _ G). assert (S := g_small _ _ _ G). rewrite plain_add; lia.
Qed.
